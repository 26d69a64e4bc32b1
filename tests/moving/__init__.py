"""Sites in processes of their own that move, step by step, while people use them."""
