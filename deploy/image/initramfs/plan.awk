# Reads a list of chunks and writes what to do with them, in the order of the disk:
#
#   batch OFFSET BYTES           fetch so much in one request; its chunks follow
#   chunk OFFSET BYTES SHA256    verify and write
#   zero OFFSET BYTES            write zeros
#
# It refuses a list of another image, and one with holes.

function refuse(sentence) {
    print sentence >"/dev/stderr"
    refused = 1
    exit 1
}

function end_batch() {
    if (held) print "batch", begin, end - begin held
    held = ""
}

NR == 1 {
    if ($1 != "sprout-chunks" || $2 != 1) refuse("not a list of chunks, version 1")
    if ($3 != size || $4 != sha256) refuse("it is of an image of " $3 " bytes with checksum " $4)
    next
}

$1 != end + 0 { refuse("the chunk at " $1 " does not follow the one that ends at " end + 0) }
$3 != "zero" && length($3) != 64 { refuse("the chunk at " $1 " has no checksum") }
$2 == 0 || $2 % 512 || $2 > 67108864 { refuse("the chunk at " $1 " has " $2 " bytes") }

# A batch is held in memory: 32 MiB make the cost of a request small.
$3 == "zero" || end - begin >= 33554432 { end_batch() }

{
    if ($3 == "zero") print "zero", $1, $2
    else if (held) held = held "\nchunk " $1 " " $2 " " $3
    else { begin = $1; held = "\nchunk " $1 " " $2 " " $3 }
    end = $1 + $2
}

END {
    if (refused) exit 1
    end_batch()
    if (end != size) refuse("it ends at " end + 0 ", the image at " size)
}
