package Analytics::Log;

# Copyright (C) The nginx analytics authors

# Reads a log, written from the description at the top of
# ngx_analytics_record.h alone: what the module, its tools and its answers say
# is compared with this.
#
#     my $log = Analytics::Log->read($dir);
#
#     $log->{events}     [ { id, user, type, time, received, properties, own,
#                            record } ], in order; time and own (the sender's
#                        id) are undef if there is none; of one with
#                        "erased" user and properties are empty
#     $log->{keys}       [ { hash, digest, done, first, last, record } ]
#     $log->{programs}   [ { totals, text, record } ]; seconds, and all of it
#     $log->{erasures}   [ { hash, record } ]
#     $log->{refolds}    [ { signature, classes, from, to, since, entries,
#                            record } ]
#     $log->{records}    [ { position, length, seq, received, events, file,
#                            offset } ]
#     $log->{segments}   [ { file, position, size, id, key, seq, reserved,
#                            created } ]
#     $log->{damage}     [ { from, to, file, offset, why } ]: bytes that are no
#                        record; what is at the end is there, too
#     $log->{malformed}  messages about records whose checksum is right
#     $log->{end}        position behind the last record
#     $log->{next}       the number behind the last
#
# Names are bytes.  With event => sub { ... } (and record => sub { ... }) events
# (records) are told one by one, and not kept.

use strict;
use warnings;
no warnings 'portable';      # 64 bits in hexadecimal

my $HEADER     = 128;
my $RECORD     = 32;
my $RECORD_MAX = 4 * 1024 * 1024;
my $MAGIC      = 0x474e;

my (@WORD, @HALF);


# CRC32C: reflected polynomial 0x82f63b78, four bytes a step.

sub crc32c {
    my ($data, $crc) = @_;

    _tables() unless @WORD;

    $crc = ~($crc // 0) & 0xffffffff;

    my $rest = length($data) % 4;

    for my $word (unpack 'V*', $data) {
        $crc ^= $word;
        $crc = $WORD[$crc & 0xffff] ^ $HALF[$crc >> 16];
    }

    for my $byte (unpack 'C*', $rest ? substr $data, -$rest : '') {
        $crc ^= $byte;

        for (1 .. 8) {
            $crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1;
        }
    }

    return ~$crc & 0xffffffff;
}


# SipHash-1-3, with a key of 16 bytes; and what a log keeps of a request's key.

sub siphash {
    my ($key, $data) = @_;
    my ($k0, $k1) = unpack 'Q< Q<', $key;

    my @v = ($k0 ^ 0x736f6d6570736575, $k1 ^ 0x646f72616e646f6d,
        $k0 ^ 0x6c7967656e657261, $k1 ^ 0x7465646279746573);
    my $whole = int(length($data) / 8) * 8;

    for my $word (unpack('Q<*', substr $data, 0, $whole),
        unpack('Q<', pack 'a7 C', substr($data, $whole), length($data) & 0xff))
    {
        $v[3] ^= $word;
        _sip(\@v);
        $v[0] ^= $word;
    }

    $v[2] ^= 0xff;
    _sip(\@v) for 1 .. 3;

    return $v[0] ^ $v[1] ^ $v[2] ^ $v[3];
}

sub key_hash {
    my ($key, $text) = @_;

    return siphash($key, pack 'Q< Q<', 1, siphash($key, $text)) || 1;
}

sub _sip {
    my ($v) = @_;

    for ([ 0, 1, 13, 32 ], [ 2, 3, 16, 0 ], [ 0, 3, 21, 0 ], [ 2, 1, 17, 32 ]) {
        my ($i, $k, $turn, $half) = @$_;

        $v->[$i] = _sum($v->[$i], $v->[$k]);
        $v->[$k] = _turn($v->[$k], $turn) ^ $v->[$i];
        $v->[$i] = _turn($v->[$i], $half) if $half;
    }
}

# modulo 2^64
sub _sum {
    my ($one, $two) = @_;

    use integer;
    return $one + $two;
}

sub _turn {
    my ($word, $by) = @_;

    return ($word << $by | $word >> 64 - $by) & ~0;
}


# What 16 bits become after 16 steps, and after 32.

sub _tables {
    my @byte;

    for my $i (0 .. 255) {
        my $crc = $i;

        $crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
        push @byte, $crc;
    }

    for my $i (0 .. 65535) {
        my $crc = $byte[$i & 0xff] ^ ($i >> 8);

        $HALF[$i] = $byte[$crc & 0xff] ^ ($crc >> 8);
    }

    @WORD = map { $HALF[$_ & 0xffff] ^ ($_ >> 16) } @HALF;
}


sub read {
    my ($class, $dir, %arg) = @_;

    my $self = bless {
        dir => $dir, events => [], keys => [], programs => [], records => [],
        refolds => [], erasures => [],
        segments => [], damage => [], malformed => [], end => 0, next => 1,
        %arg,
    }, $class;

    opendir my $dh, $dir or die "$dir: $!\n";

    my @names = sort grep { /^\d{20}\.log$/ } readdir $dh;

    for my $i (0 .. $#names) {
        $self->_segment($names[$i],
            $i < $#names ? _position($names[$i + 1]) : undef);
    }

    return $self;
}


sub _position {
    my ($name) = @_;

    return ($name =~ /^(\d+)/)[0] + 0;
}


sub _segment {
    my ($self, $name, $next) = @_;

    open my $fh, '<:raw', "$self->{dir}/$name" or die "$name: $!\n";

    my $data = do { local $/; <$fh> } // '';
    my %segment = (file => $name, position => _position($name),
        size => length $data);

    # what lies behind the beginning of the next one is nobody's

    $data = substr $data, 0, $next - $segment{position}
        if defined $next && $next < $segment{position} + length $data;

    my $why = _header(\%segment, $data);

    push @{ $self->{segments} }, \%segment;

    my $first = $self->{segments}[0];

    $why = 'of another log'
        if !$why && !$first->{bad} && $segment{id} ne $first->{id};

    if ($why) {
        $segment{bad} = $why;
        $self->_damage(\%segment, 0, _least($HEADER, length $data), $why);
    }

    $self->_records(\%segment, $data) if length $data > $HEADER;

    $self->_damage(\%segment, length $data, $next - $segment{position},
        'missing') if defined $next
        && $next > $segment{position} + length $data;

    # numbers begin anew there only if it says more than the records

    $self->{next} = $segment{seq}
        if !$why && $segment{seq} > $self->{next};
    $self->{end} = $segment{position} + $HEADER
        if !$why && $self->{end} < $segment{position} + $HEADER;
}


sub _least {
    my ($one, $other) = @_;

    return $one < $other ? $one : $other;
}


# Takes a segment's header apart.  Returns what is wrong with it, or ''.

sub _header {
    my ($segment, $data) = @_;

    return 'no whole header' if length $data < $HEADER;

    my ($magic, $version, $length, $id, $key, $position, $seq, $reserved,
        $created, $zero, $crc) = unpack 'a8 V V a16 a16 Q< Q< Q< q< a44 V',
        $data;

    return 'no header' if $magic ne "NGXALOG\0";
    return 'a wrong checksum of the header'
        if $crc != crc32c(substr $data, 0, $HEADER - 4);
    return "version $version" if $version != 1;
    return "a header of $length bytes" if $length != $HEADER;
    return "the header of position $position"
        if $position != $segment->{position};
    return 'something in the header that should be 0' if $zero =~ /[^\0]/;

    @$segment{qw(id key seq reserved created)} =
        ($id, $key, $seq, $reserved, $created);

    return '';
}


sub _damage {
    my ($self, $segment, $from, $to, $why) = @_;

    push @{ $self->{damage} }, {
        from   => $segment->{position} + $from,
        to     => $segment->{position} + $to,
        file   => $segment->{file},
        offset => $from,
        why    => $why,
    };
}


# All records of a segment.  Where there is none the next one is looked for.

sub _records {
    my ($self, $segment, $data) = @_;

    my $at = $HEADER;
    my ($from, $why);

    while ($at < length $data) {
        my ($record, $wrong) = $self->_record($data, $at);

        if (!$record) {
            ($from, $why) = ($at, $wrong) unless defined $from;
            $at += 8;
            next;
        }

        if (defined $from) {
            $self->_damage($segment, $from, $at, $why);
            undef $from;
        }

        $record->{position} = $segment->{position} + $at;
        $record->{file}     = $segment->{file};
        $record->{offset}   = $at;

        $self->_payload($record, substr $data, $at + $RECORD,
            $record->{length} - $RECORD - $record->{padding});

        $self->{next} = $record->{seq} + $record->{events};
        $self->{end}  = $record->{position} + $record->{length};

        $at += $record->{length};
    }

    $self->_damage($segment, $from, length $data, $why) if defined $from;
}


# The record at an offset, or undef and why there is none.

sub _record {
    my ($self, $data, $at) = @_;

    return (undef, 'too short') if length($data) - $at < $RECORD;

    my ($length, $crc, $seq, $received, $events, $magic, $padding) =
        unpack 'V V Q< q< V v v', substr $data, $at, $RECORD;

    return (undef, 'no record') if $magic != $MAGIC;
    return (undef, "a length of $length")
        if $length % 8 || $length < $RECORD || $length > $RECORD_MAX;
    return (undef, "a padding of $padding")
        if $padding > 7 || $RECORD + $padding > $length;
    return (undef, 'cut short') if $length > length($data) - $at;

    my $sum = crc32c(substr($data, $at + 8, $RECORD - 8),
        crc32c(substr $data, $at + $RECORD, $length - $RECORD));

    return (undef, 'a wrong checksum') if $sum != $crc;
    return (undef, "number $seq behind " . ($self->{next} - 1))
        if $seq < $self->{next};

    return { length => $length, seq => $seq, received => $received,
        events => $events, padding => $padding };
}


sub _payload {
    my ($self, $record, $payload) = @_;

    my ($at, $n, $user, $type) = (0, 0);

    if ($self->{record}) {
        $self->{record}->($record);
    } else {
        push @{ $self->{records} }, $record;
    }

    while ($at < length $payload) {
        my $tag = ord substr $payload, $at, 1;

        if ($tag < 0x40) {
            my $event = _event($payload, \$at, $user, $type);

            return $self->_malformed($record, 'an event') unless $event;

            ($user, $type) = @$event{qw(user type)};

            if ($tag & 0x20) {
                return $self->_malformed($record, 'what is not erased')
                    if ("$user$event->{properties}" . ($event->{own} // ''))
                        =~ /[^\0]/;

                @$event{qw(user own properties erased)} =
                    ('', undef, '', 1);
            }

            $event->{id}       = $record->{seq} + $n++;
            $event->{received} = $record->{received};
            $event->{record}   = $record;

            if ($self->{event}) {
                $self->{event}->($event);
            } else {
                push @{ $self->{events} }, $event;
            }

        } elsif ($tag == 0x80) {
            my ($hash, $digest, $done, $first, $last) =
                unpack 'Q< a16 V Q< Q<', substr $payload, $at + 1, 44;

            return $self->_malformed($record, 'a key')
                if !defined $last || !$hash;

            push @{ $self->{keys} }, {
                hash => $hash,
                done => $done, first => $first, last => $last,
                digest => $digest, record => $record,
            };

            $at += 45;

        } elsif ($tag == 0x81) {
            my ($length) = unpack 'V', substr $payload, $at + 1, 4;

            return $self->_malformed($record, 'a program')
                if !defined $length || $at + 5 + $length > length $payload;

            my $text = substr $payload, $at + 5, $length;

            push @{ $self->{programs} }, {
                totals => ($text =~ /"totals":(\d+)/)[0], text => $text,
                record => $record,
            };

            $at += 5 + $length;

        } elsif ($tag == 0x82) {
            my ($hash) = unpack 'Q<', substr $payload, $at + 1, 8;

            return $self->_malformed($record, 'an erasure')
                unless defined $hash;

            push @{ $self->{erasures} }, { hash => $hash, record => $record };

            $at += 9;

        } elsif ($tag == 0x83) {
            my ($signature, $classes, $from, $to, $since, $length) =
                unpack 'Q< V Q< Q< q< V', substr $payload, $at + 1, 40;

            return $self->_malformed($record, 'a refold')
                if !defined $length || $from >= $to
                || $at + 41 + $length > length $payload;

            push @{ $self->{refolds} }, {
                signature => $signature, classes => $classes, from => $from,
                to => $to, since => $since, record => $record,
                entries => substr($payload, $at + 41, $length),
            };

            $at += 41 + $length;

        } else {
            return $self->_malformed($record, sprintf 'a tag %02x', $tag);
        }
    }

    $self->_malformed($record, "$n events, not $record->{events}")
        if $n != $record->{events};
}


# An event at an offset, which is moved; undef if it is cut short.

sub _event {
    my ($payload, $at, $user, $type) = @_;

    my $end = length $payload;
    my $tag = ord substr $payload, $$at, 1;
    my $p   = $$at + 1;
    my %length;

    return undef if $tag & 0x08 && !defined $user;
    return undef if $tag & 0x10 && !defined $type;

    for ([ user => !($tag & 0x08) ], [ type => !($tag & 0x10) ],
        [ own => $tag & 0x04 ])
    {
        my ($name, $there) = @$_;

        next unless $there;
        return undef if $p >= $end;

        $length{$name} = ord substr $payload, $p++, 1;

        return undef unless $length{$name};
    }

    my %event = (user => $user, type => $type, own => undef, time => undef,
        properties => '');

    if ($tag & 0x01) {
        return undef if $p + 8 > $end;

        $event{time} = unpack 'q<', substr $payload, $p, 8;
        $p += 8;
    }

    if ($tag & 0x02) {
        my ($n, $shift) = (0, 0);

        while (1) {
            return undef if $p >= $end || $shift > 21;

            my $byte = ord substr $payload, $p++, 1;

            $n |= ($byte & 0x7f) << $shift;
            $shift += 7;

            last unless $byte & 0x80;
        }

        $length{properties} = $n;
    }

    for my $name (grep { defined $length{$_} } qw(user type own properties)) {
        return undef if $p + $length{$name} > $end;

        $event{$name} = substr $payload, $p, $length{$name};
        $p += $length{$name};
    }

    $$at = $p;

    return \%event;
}


sub _malformed {
    my ($self, $record, $what) = @_;

    push @{ $self->{malformed} },
        "$record->{file}, offset $record->{offset}: $what";
}


# What is wrong with the numbers, if anything: they are 1, 2, 3...

sub gaps {
    my ($self, $first) = @_;

    my $next = $first // 1;
    my @wrong;

    for my $event (@{ $self->{events} }) {
        push @wrong, "$event->{id} where $next was to come"
            if $event->{id} != $next;

        $next = $event->{id} + 1;
    }

    return @wrong;
}


1;
