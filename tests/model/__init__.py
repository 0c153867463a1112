"""A model of the broker, in process, under which the real loop runs through seeded schedules of what may go wrong."""
