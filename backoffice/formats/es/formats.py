"""Spanish as Django has it, but for dates that stand in lists: short enough for a column, and with the month's name."""

DATETIME_FORMAT = r"j \d\e F \d\e Y, H:i"
SHORT_DATETIME_FORMAT = "j M Y, H:i"
SHORT_DATE_FORMAT = "j M Y"
