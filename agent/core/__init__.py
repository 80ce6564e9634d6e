"""What every component of the agent rests on: it is supervised, and every call of foreign code has a bound."""
