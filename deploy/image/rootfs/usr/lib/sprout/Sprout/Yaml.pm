# Reads the part of YAML that serialisers write in block style: mappings, sequences, plain, quoted
# and literal scalars, and empty [] and {}.  Anchors, tags, flow collections and tabs are refused.
# Scalars stay text; null is undef.

package Sprout::Yaml;

use strict;
use warnings;

my $KEY = qr/("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#"'\[\]\{\}&*!|>%@`?-][^#]*?|-\S[^#]*?)/;
my %ESCAPES = (
    '0' => "\0", a => "\a", b => "\b", t => "\t", n => "\n", v => "\x0b", f => "\f", r => "\r",
    e => "\e", N => "\x85", _ => "\xa0", L => "\x{2028}", P => "\x{2029}",
);

# The value of TEXT.  Dies with one sentence that names the line.
sub read_yaml {
    my ($text) = @_;
    my $self = bless { lines => [split /\n/, $text], at => 0 }, __PACKAGE__;
    my $value = $self->node(-1);
    $self->skip_blank;
    $self->refuse('unexpected text') if defined $self->line;
    return $value;
}

sub line { my ($self) = @_; return $self->{lines}[$self->{at}] }

sub refuse {
    my ($self, $why) = @_;
    die sprintf "line %d: %s\n", $self->{at} + 1, $why;
}

sub skip_blank {
    my ($self) = @_;
    $self->{at}++ while defined $self->line && $self->line =~ /^\s*(#.*)?$|^---\s*$|^\.\.\.\s*$/;
    return;
}

# Spaces before the text of the next line; -2 at the end of the text.
sub indent {
    my ($self) = @_;
    $self->skip_blank;
    return -2 if !defined $self->line;
    $self->refuse('a tab in the indentation') if $self->line =~ /^ *\t/;
    return length(($self->line =~ /^( *)/)[0]);
}

# The node that stands on lines indented deeper than PARENT.
sub node {
    my ($self, $parent) = @_;
    my $indent = $self->indent;
    return undef if $indent <= $parent;
    my $text = substr $self->line, $indent;
    return $self->sequence($indent) if $text =~ /^-( |$)/;
    return $self->mapping($indent) if $text =~ /^$KEY:( |$)/;
    return $self->scalar($text, $parent);
}

sub sequence {
    my ($self, $indent) = @_;
    my @items;
    while ($self->indent == $indent && $self->line =~ /^ *-( |$)/) {
        # "- key: value" and "- - item" nest as if the dash were a space.
        my $line = $self->line;
        substr($line, $indent, 1) = ' ';
        $self->{lines}[$self->{at}] = $line;
        push @items, $self->node($indent);
    }
    return \@items;
}

sub mapping {
    my ($self, $indent) = @_;
    my %pairs;
    while ($self->indent == $indent && $self->line =~ /^ *$KEY:(?: +(.*))?$/) {
        my ($key, $rest) = (unquoted($1), $2 // '');
        $self->refuse("'$key' occurs twice") if exists $pairs{$key};
        $pairs{$key} = $self->pair($rest, $indent);
    }
    $self->refuse('unexpected indentation') if $self->indent > $indent;
    return \%pairs;
}

# The value behind "key:"; a sequence may stand as deep as its key.
sub pair {
    my ($self, $rest, $indent) = @_;
    return $self->scalar($rest, $indent) if $rest =~ /^[^#\s]/;
    $self->{at}++;
    my $sequence = $self->indent == $indent && $self->line =~ /^ *-( |$)/;
    return $sequence ? $self->sequence($indent) : $self->node($indent);
}

# A scalar that begins with TEXT on this line and goes on on lines deeper than PARENT.
sub scalar {
    my ($self, $text, $parent) = @_;
    return $self->literal($text, $parent) if $text =~ /^[|>]/;
    return $self->quoted($text) if $text =~ /^["']/;
    $self->{at}++;
    return [] if $text =~ /^\[\]\s*$/;
    return {} if $text =~ /^\{\}\s*$/;
    $self->refuse('unsupported: ' . substr $text, 0, 20) if $text =~ /^[\[\{&*!%@`]|^\? /;
    return $self->plain($text, $parent);
}

sub plain {
    my ($self, $text, $parent) = @_;
    my @lines = ($text);
    while (defined $self->line && $self->line =~ /^( *)(\S.*)?$/) {
        last if defined $2 && length $1 <= $parent;
        last if !defined $2 && !$self->goes_on($parent);
        push @lines, $2 // '';
        $self->{at}++;
    }
    s/\s+#.*$// for @lines;
    my $value = folded(@lines);
    return $value =~ /^(?:~|null|Null|NULL|)$/ ? undef : $value;
}

# Blank lines belong to a plain scalar when deeper text follows them.
sub goes_on {
    my ($self, $parent) = @_;
    for my $line (@{ $self->{lines} }[$self->{at} .. $#{ $self->{lines} }]) {
        return length $1 > $parent if $line =~ /^( *)\S/;
    }
    return 0;
}

sub quoted {
    my ($self, $text) = @_;
    my $whole = substr($text, 0, 1) eq '"' ? qr/^("(?:[^"\\]|\\.)*")(.*)$/s
                                           : qr/^('(?:[^']|'')*')(.*)$/s;
    $self->{at}++;
    until ($text =~ $whole) {
        $self->refuse('a quotation without end') if !defined $self->line;
        $text .= "\n" . $self->line;
        $self->{at}++;
    }
    # The captures of a loop's condition end with the loop.
    my ($scalar, $rest) = $text =~ $whole;
    $self->refuse("unexpected after a quotation: $rest") if $rest !~ /^\s*(#.*)?$/;
    return unquoted($scalar);
}

sub unquoted {
    my ($text) = @_;
    if ($text =~ /^'(.*)'$/s) {
        $text = folded(split /\n/, $1, -1);
        $text =~ s/''/'/g;
    }
    elsif ($text =~ /^"(.*)"$/s) {
        $text = folded_escapes($1);
    }
    return $text;
}

# One line break is a space, more are one break fewer (YAML 1.2, 6.5).
sub folded {
    my ($text, @lines) = @_;
    $text //= '';    # split makes nothing of an empty text
    my $breaks = 0;
    for my $index (0 .. $#lines) {
        my $line = $lines[$index];
        $breaks++;
        $line =~ s/^\s+//;
        next if $line eq '' && $index < $#lines;
        $text =~ s/\s+$// if $breaks;
        $text .= ($breaks == 1 ? ' ' : "\n" x ($breaks - 1)) . $line;
        $breaks = 0;
    }
    return $text;
}

sub folded_escapes {
    my ($text) = @_;
    $text =~ s/((?:^|[^\\])(?:\\\\)*)\\\n\s*/$1/g;
    $text = folded(split /\n/, $text, -1);
    $text =~ s/\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/
        defined $4 ? $ESCAPES{$4} \/\/ $4 : chr hex($1 \/\/ $2 \/\/ $3)/gexs;
    return $text;
}

sub literal {
    my ($self, $header, $parent) = @_;
    my ($style, $marks) = $header =~ /^([|>])([-+0-9]*)\s*(?:#.*)?$/
        or $self->refuse('a header of a block that is not understood');
    $self->refuse('folded blocks are not understood') if $style eq '>';
    $self->{at}++;
    my @lines;
    while (defined $self->line && $self->line =~ /^( *)([^ ].*)?$/) {
        last if defined $2 && length $1 <= $parent;
        push @lines, $self->line;
        $self->{at}++;
    }
    return unindented($marks, $parent, @lines);
}

sub unindented {
    my ($marks, $parent, @lines) = @_;
    my ($first) = map { /^( *)[^ ]/ ? length $1 : () } @lines;
    my $depth = $marks =~ /([1-9])/ ? ($parent < 0 ? 0 : $parent) + $1 : $first // 0;
    my $text = join '', map { (length > $depth ? substr $_, $depth : '') . "\n" } @lines;
    $text =~ s/\n+$/\n/ if $marks !~ /\+/;
    $text =~ s/\n+$// if $marks =~ /-/;
    $text = '' if $text eq "\n" && $marks !~ /\+/;
    return $text;
}

1;
