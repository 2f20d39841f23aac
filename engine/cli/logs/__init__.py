"""`engine logs`: what the gateway wrote down, asked for or read from its file."""
