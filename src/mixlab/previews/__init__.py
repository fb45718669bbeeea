"""What `mixlab-preview` shows: where the images come from, and which picture is made of them."""
