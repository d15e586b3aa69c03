# Copyright (C) The nginx analytics authors

# The reader that all other tests of the log rely on reads what the format's
# description says, and tells damage from records: with logs made by hand.

use strict;
use warnings;
no warnings 'portable';      # 64 bits in hexadecimal

use File::Temp ();
use Test::More;

use Analytics::Log;

my $dir = File::Temp->newdir;
my $ID  = join '', map { chr } 1 .. 16;
my $KEY = 'k' x 16;


# bit by bit, unlike the reader's

sub crc {
    my ($data) = @_;
    my $crc = 0xffffffff;

    for my $byte (unpack 'C*', $data) {
        for my $bit (0 .. 7) {
            my $one = ($crc ^ ($byte >> $bit)) & 1;
            $crc = ($crc >> 1) ^ ($one ? 0x82f63b78 : 0);
        }
    }

    return $crc ^ 0xffffffff;
}


sub segment {
    my (%arg) = (position => 0, seq => 1, reserved => 1000, created => 7, id => $ID,
        version => 1, @_);

    my $head = "NGXALOG\0" . pack('V V', $arg{version}, 128) . $arg{id} . $KEY
        . pack('Q< Q< Q< q<', @arg{qw(position seq reserved created)})
        . "\0" x 44;

    return $head . pack('V', crc($head)) . join '', @{ $arg{records} // [] };
}


sub record {
    my ($seq, $received, $n, $payload) = @_;

    my $padding = -length($payload) % 8;
    my $rest    = pack 'Q< q< V v v', $seq, $received, $n, 0x474e, $padding;

    $payload .= "\0" x $padding;

    return pack('V V', 32 + length $payload, crc($payload . $rest)) . $rest
        . $payload;
}


sub put {
    my (%files) = @_;

    unlink glob "$dir/*";

    for my $position (keys %files) {
        open my $fh, '>:raw', sprintf "%s/%020d.log", $dir, $position or die;
        print $fh $files{$position};
        close $fh or die;
    }

    return Analytics::Log->read("$dir");
}


is crc('123456789'), 0xe3069283, 'the well-known value';
is Analytics::Log::crc32c($_), crc($_), 'the same of ' . length($_) . ' bytes'
    for '', 'a', 'ab', 'abc', 'abcd', 'The quick brown fox', "\xff" x 33;
is Analytics::Log::crc32c('56789', crc('1234')), 0xe3069283, 'it goes on';

# printed by another program: see t/unit/hash.c
is Analytics::Log::siphash(pack('C*', 0 .. 15), pack 'C*', 0 .. $_->[0] - 1),
    $_->[1], "SipHash-1-3 of $_->[0] bytes"
    for [ 0, 0xabac0158050fc4dc ], [ 7, 0xd3927d989bb11140 ],
        [ 8, 0x369095118d299a8e ], [ 15, 0xd320d86d2a519956 ],
        [ 33, 0x4d54b9e57a8ff9bf ];


# the user "bob", the type "t", an id "own1", a time, properties {"a":1}; then
# the same user with another type and a long length; then nothing said twice

my $time = 1735689600123456;
my $long = '{"a":"' . 'x' x 200 . '"}';

my @records = (
    record(1, 100, 3, "\x07\x03\x01\x04" . pack('q<', $time) . "\x07bobtown1"
        . '{"a":1}' . "\x0a\x02" . chr(0x80 | 208 % 128) . chr(208 >> 7)
        . "tt$long" . "\x18"),
    record(4, 101, 1, "\x80hash..12" . 'd' x 16 . pack('V Q< Q<', 9, 1, 4)
        . "\x00\x01\x01uv"),
    record(5, 102, 0, "\x81" . pack 'V/a', '{"totals":86400}'),
    record(5, 103, 1, "\x00\x01\x01wx"),
);

my $whole = segment(records => \@records);


subtest 'what is in it' => sub {
    my $log = put(0 => $whole);

    is_deeply [ map { [ @$_{qw(id user type time received properties own)} ] }
        @{ $log->{events} } ], [
        [ 1, 'bob', 't', $time, 100, '{"a":1}', 'own1' ],
        [ 2, 'bob', 'tt', undef, 100, $long, undef ],
        [ 3, 'bob', 'tt', undef, 100, '', undef ],
        [ 4, 'u', 'v', undef, 101, '', undef ],
        [ 5, 'w', 'x', undef, 103, '', undef ],
    ], 'events';

    is_deeply [ map { [ @$_{qw(hash digest done first last)} ] }
        @{ $log->{keys} } ],
        [ [ unpack('Q<', 'hash..12'), 'd' x 16, 9, 1, 4 ] ], 'a key';
    is $log->{programs}[0]{totals}, 86400, 'a program';

    is $log->{end}, length $whole, 'its end';
    is $log->{next}, 6, 'the next number';
    is_deeply $log->{damage}, [], 'no damage';
    is_deeply $log->{malformed}, [], 'nothing malformed';
    is_deeply [ $log->gaps ], [], 'no gaps';
    is $log->{segments}[0]{reserved}, 1000, 'what the header says';

    my @told;
    my $same = Analytics::Log->read("$dir", event => sub { push @told, $_[0]{id} });

    is_deeply \@told, [ 1 .. 5 ], 'or told one by one';
    is scalar @{ $same->{events} }, 0, 'and not kept';
};


subtest 'segments' => sub {
    my $first = segment(records => [ @records[0, 1] ]);
    my $at    = length $first;
    my $next  = segment(position => $at, seq => 5,
        records => [ @records[2, 3] ]);

    my $log = put(0 => $first, $at => $next);

    is scalar @{ $log->{events} }, 5, 'are read one after the other';
    is_deeply $log->{damage}, [], 'no damage';
    is $log->{end}, $at + length $next, 'the end';

    $log = put(0 => substr($first, 0, -8), $at => $next);

    is_deeply [ map { $_->{id} } @{ $log->{events} } ], [ 1, 2, 3, 5 ],
        'one that ends early';
    is_deeply [ map { "$_->{from}-$_->{to}" } @{ $log->{damage} } ],
        [ 128 + length($records[0]) . '-' . ($at - 8), $at - 8 . "-$at" ],
        'is told';
    is scalar(() = $log->gaps), 1, 'as a gap, too';

    $log = put(0 => $first, $at => segment(position => $at, id => 'o' x 16));
    is $log->{damage}[0]{why}, 'of another log', 'of another log';

    $log = put(0 => $first . 'garbage', $at => $next);
    is scalar @{ $log->{events} }, 5, 'bytes behind the next one count nothing';
};


subtest 'cut at every byte' => sub {
    my @ends = (128);
    my @ids  = (0, 3, 4, 4, 5);

    push @ends, $ends[-1] + length $_ for @records;

    for my $length (128 .. length $whole) {
        my $log  = put(0 => substr $whole, 0, $length);
        my $left = grep { $_ <= $length } @ends[1 .. $#ends];

        my $same = is_deeply [ scalar @{ $log->{events} }, $log->{end},
            map { @$_{qw(from to)} } @{ $log->{damage} } ],
            [ $ids[$left], $ends[$left],
              $length == $ends[$left] ? () : ($ends[$left], $length) ],
            "$length bytes";

        last unless $same;
    }
};


subtest 'every bit turned' => sub {
    my @ends = (128);

    push @ends, $ends[-1] + length $_ for @records;

    my @seqs = ([ 1, 2, 3 ], [ 4 ], [], [ 5 ]);
    my $wrong = 0;

    for my $bit (128 * 8 .. length($whole) * 8 - 1) {
        my $copy = $whole;

        vec($copy, $bit, 1) ^= 1;

        my $log = put(0 => $copy);
        my ($hit) = grep { $bit / 8 < $ends[$_ + 1] } 0 .. $#records;
        my @want  = map { @{ $seqs[$_] } } grep { $_ != $hit } 0 .. $#records;

        next if "@want" eq join(' ', map { $_->{id} } @{ $log->{events} })
            && @{ $log->{damage} } == 1
            && $log->{damage}[0]{from} == $ends[$hit]
            && $log->{damage}[0]{to} == $ends[$hit + 1];

        diag "bit $bit: ", explain($log->{damage}) if $wrong++ < 3;
    }

    is $wrong, 0, 'costs that record and no other';

    for my $bit (0 .. 128 * 8 - 1) {
        my $copy = $whole;

        vec($copy, $bit, 1) ^= 1;

        my $log = put(0 => $copy);

        $wrong++ unless @{ $log->{events} } == 5 && $log->{segments}[0]{bad};
    }

    is $wrong, 0, 'in the header: it is bad, the records are there';
};


subtest 'what a right checksum does not rule out' => sub {
    my %bad = (
        'events than it says'  => record(1, 1, 2, "\x00\x01\x01ab"),
        'an unknown tag'       => record(1, 1, 1, "\x20\x01\x01ab"),
        'a user cut short'     => record(1, 1, 1, "\x00\x09\x01ab"),
        'properties cut short' => record(1, 1, 1, "\x02\x01\x01\x05ab{}"),
        'nobody before'        => record(1, 1, 1, "\x18"),
        'a key cut short'      => record(1, 1, 0, "\x80\x09" . 'd' x 36 . 'k'),
    );

    for my $what (sort keys %bad) {
        my $log = put(0 => segment(records => [ $bad{$what} ]));

        is scalar @{ $log->{malformed} }, 1, $what;
    }

    my $log = put(0 => segment(records => [ $records[3], $records[0] ]));

    is_deeply [ map { $_->{id} } @{ $log->{events} } ], [ 5 ],
        'numbers do not go back';
    like $log->{damage}[0]{why}, qr/number 1/, 'that is damage';
};


done_testing;
