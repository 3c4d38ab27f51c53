"""Downloads: against an archive and a REST of the tests' own with every fault, and against the replay exchange."""
