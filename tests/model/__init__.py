"""A model of the broker, on which the real loop runs through seeded schedules of faults, all in one process."""
