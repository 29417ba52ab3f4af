"""What images and volumes share: views and networks in two and in three dimensions."""
