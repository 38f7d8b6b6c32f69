"""The district's calendar: which year, term and window a school is in on a date. Nothing else knows a year."""
