"""Take a model away: its network, its preprocessing, and what it is, in the formats of other programs."""
