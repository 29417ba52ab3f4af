"""What the views of all wings share: parameters drawn at random, then a function of them."""
