"""Tables in memory as Parquet files with a side-car that says that they are tables of patients."""

import json
from pathlib import Path
from typing import Any

from medcl.modality.objects import Given

TAKES = "pandas or pyarrow data frames with units in the names of columns, such as `glucose [mmol/L]`"


def write(x: Any, place: Path, given: Given) -> bool:
    """Write a data frame.

    Args:
        x: of pandas or pyarrow: a row a patient, a row a time, or a row a value, as in a file.
        place: folder.
        given: `about`, the side-car.

    Returns:
        Whether it is one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if hasattr(x, "to_parquet") and hasattr(x, "columns"):
        x = pa.Table.from_pandas(x, preserve_index=False)
    if not isinstance(x, pa.Table):
        return False
    pq.write_table(x.replace_schema_metadata(None), place / "table.parquet")
    (place / "table.json").write_text(json.dumps({"medcl": {}, **given.about}), encoding="utf-8")
    return True
