"""What a person looks at: pictures, distributions and the page. Arrays in, bytes or text out."""
