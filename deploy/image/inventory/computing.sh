# One computation whose result is known.
# shellcheck shell=sh

# shellcheck disable=SC2034  # the test compares with it
KNOWN=143534eee03efbfe261f01b359e2ebf7f512d4e4d67b855b659c1be3978b3543

# computed: whole numbers by SHA-256, fractions by roots as Newton found them.
computed() {
    {
        seq 20000
        awk 'BEGIN {
            for (i = 1; i < 2000; i++) {
                x = i
                for (j = 0; j < 12; j++) x = (x + i / x) / 2
                s += x / i
            }
            printf "%.6f\n", s
        }'
    } | sha256sum | cut -d ' ' -f 1
}
