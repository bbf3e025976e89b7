# Functions about days such as 2026-02-28, for the scripts of the demo. GNU and BSD have different options of `date`.

# Prints the seconds since 1970 at the begin of a day.
seconds_of() { date -u -d "$1" +%s 2>/dev/null || date -u -j -f '%Y-%m-%d %T' "$1 00:00:00" +%s; }

# Prints the day of an instant in seconds since 1970.
day_of() { date -u -d "@$1" +%Y-%m-%d 2>/dev/null || date -u -r "$1" +%Y-%m-%d; }

# Prints the day that is $2 days after the day $1.
day_after() { day_of $(( $(seconds_of "$1") + $2 * 86400 )); }
