"""What the gateway keeps, row by row: `engine sessions`, `engine tasks`."""
