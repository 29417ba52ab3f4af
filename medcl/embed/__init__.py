"""Apply an encoder to records: pieces that it takes, embeddings of records, the file that keeps them."""
