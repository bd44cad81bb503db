# The report: lines of a key, one space and a value; one fact each, and nothing that is not known.
# shellcheck shell=sh

# fact KEY VALUE: nothing for an empty value; one line whatever the hardware says of itself.
fact() {
    value=$(printf %s "$2" | tr -c '\040-\176' ' ' | sed 's/^ *//; s/ *$//' | cut -c 1-480)
    if [ -n "$value" ]; then printf '%s %s\n' "$1" "$value"; fi
}

# told KEY FILE: the fact that is a file of sysfs.
told() {
    if [ -r "$2" ]; then fact "$1" "$(cat "$2" 2>/dev/null)"; fi
}

# numbered: facts of tests, of which each begins with "test NAME", with the test's number.
numbered() {
    awk 'BEGIN { n = -1 }
        $1 == "test" { n++; print "test." n ".name", $2; next }
        { key = $1; sub(/^[^ ]+ /, ""); print "test." n "." key, $0 }'
}
