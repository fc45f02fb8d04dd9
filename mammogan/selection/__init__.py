"""Which snapshot wins, whether one lambda is better than another, and what may go into production."""
