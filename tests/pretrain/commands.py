"""Calls of `medcl` one after the other in one process, for starting one takes longer than a tiny training; a program.

Argument: the calls as JSON, a list of lists of words.
"""

import json
import sys

from medcl.cli import main

if __name__ == "__main__":
    for words in json.loads(sys.argv[1]):
        if code := main(words):
            sys.exit(code)
