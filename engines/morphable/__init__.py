"""A whole head as a mean, ways in which people differ and 52 named actions, and its fit to a face's 478 points. numpy alone."""
