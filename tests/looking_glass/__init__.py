"""Looking Glasses of our own: invented calibrations of every kind of display, and what their panels show by the plain definition."""
