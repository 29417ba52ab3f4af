"""What all losses are made of: blocks of a similarity matrix, gathering over processes, queues."""
