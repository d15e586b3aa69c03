# Copyright (C) The nginx analytics authors

# A log that is cut or damaged anywhere: what is before the damage survives,
# and what is behind it where it can be found; the error log names the file
# and the offset; numbers are not given again.  What survives is what an
# independent reader says.

use strict;
use warnings;

use File::Path qw(remove_tree);
use Test::More;

use Analytics::Client;
use Analytics::Test;
use Analytics::Torture;

my $nginx = Analytics::Torture->new(
    log => 'segment 16k; checkpoint size=1g time=1h;',
)->start;

my $data     = $nginx->data;
my $pristine = $nginx->dir . '/pristine';


# Some segments' worth of records of all sizes, with keys among them.

for my $n (1 .. 120) {
    my $m    = $n % 4 ? 1 : $n % 7 + 2;
    my @list = map { sprintf '{"user_id":"user %d","event_type":"type %d",'
        . '"metadata":{"n":"%d","pad":"%s"}}', $n % 9, $_ % 3, $n,
        'x' x ($n * 37 % 400) } 1 .. $m;

    my $answer = $nginx->post('/events/',
        $m == 1 ? $list[0] : '[' . join(',', @list) . ']',
        $n % 5 == 0 ? (headers => ["Idempotency-Key: $n"]) : ());

    is $answer->{status}, 201, 'stored' or BAIL_OUT('nothing is stored')
        if $n % 40 == 1;
}

$nginx->quiet;
$nginx->kill_at_once;

system('cp', '-a', $data, $pristine) == 0 or die "cp failed\n";

my $whole = $nginx->log;
my @files = map { $_->{file} } @{ $whole->{segments} };
my $last  = $files[-1];
my $size  = -s "$data/$last";
my $given = $whole->{next} - 1;

is_deeply $whole->{damage}, [], 'the log is whole';
cmp_ok scalar @files, '>', 2, 'it has some segments';


# Damages a fresh copy, starts, and compares.  Returns what is wrong.

sub treat {
    my ($what, $damage, %option) = @_;

    remove_tree($data);
    system('cp', '-a', $pristine, $data) == 0 or die "cp failed\n";

    # of another boot, or without it, too
    unlink "$data/control" if $option{control};

    $damage->();

    my $left = $nginx->log;
    my @wrong;

    unlink $nginx->dir . '/error.log';

    return "$what: it does not start: " . substr $nginx->error_log, -500
        unless $nginx->try_start;

    # A file without a header is one that was being made: nothing is lost.
    # One worker may be ready before the other one says what it found.

    my @damage = grep { $_->{why} ne 'no whole header' } @{ $left->{damage} };

    wait_for(sub {
        my $log = $nginx->error_log;

        @damage = grep {
            my $from = $option{whole} ? 0 : $_->{offset};

            $log !~ /from offset $from of \Q$_->{file}\E/
        } @damage;

        return !@damage;
    });

    push @wrong, "not told: $_->{file}, offset $_->{offset} ($_->{why})"
        for @damage;

    my $account = $nginx->account([], gaps => 1, damage => 1);
    my $total   = $nginx->json('/stats/total');
    my $types   = $nginx->json('/stats/by-event-type');

    push @wrong, "$total->{total_events} events, not "
        . @{ $left->{events} } . ' as are left'
        if $total->{total_events} != @{ $left->{events} };
    push @wrong, 'other figures than those of what is left'
        if canonical($total) ne canonical($account->{oracle}->total)
            || canonical($types) ne canonical($account->{oracle}->by_type);

    my $next = $nginx->post('/events/',
        '{"user_id":"new","event_type":"new"}');

    push @wrong, "the next event: $next->{line}" if $next->{status} != 201;
    push @wrong, "number " . $next->json->{id} . ' is given again'
        if $next->{status} == 201 && $next->json->{id} <= $given
            && !$option{again};

    $nginx->kill_at_once;

    my $after = $nginx->log;

    push @wrong, @{ $after->{events} } . ' events afterwards'
        if @{ $after->{events} } != @{ $left->{events} } + 1;

    return map { "$what: $_" } @wrong;
}


sub all_right {
    my ($name, @wrong) = @_;

    ok !@wrong, $name
        or diag join "\n", @wrong[0 .. ($#wrong < 9 ? $#wrong : 9)];
}


sub change {
    my ($file, $offset, $bit) = @_;

    open my $fh, '+<:raw', "$data/$file" or die "$file: $!\n";
    sysseek $fh, $offset, 0;
    sysread $fh, my $byte, 1;
    sysseek $fh, $offset, 0;
    syswrite $fh, chr(ord($byte) ^ 1 << $bit);
}


# the last records, and where they end

my @records = grep { $_->{file} eq $last } @{ $whole->{records} };

@records = @records[-6 .. -1] if @records > 6;

my @cuts = $records[0]{offset} .. $size - 1;

if (!long()) {
    my %few = map { $_ => 1 } map {
        ($_->{offset}, $_->{offset} + 1, $_->{offset} + 31,
            $_->{offset} + $_->{length} - 1)
    } @records;

    $few{ $cuts[rand @cuts] }++ while keys %few < 60;
    @cuts = sort { $a <=> $b } keys %few;
}

$nginx->expect_log(qr/analytics zone "site".*(?:damaged|cut off)/);

my $nth = 0;

all_right(scalar @cuts . ' ways to cut the last segment', map {
    my $to = $_;

    treat("cut to $to bytes", sub { truncate "$data/$last", $to },
        control => $nth++ % 2);
} @cuts);

all_right('cut before its header ends', map {
    my $to = $_;

    treat("cut to $to bytes", sub { truncate "$data/$last", $to },
        again => 1);
} long() ? (0 .. 128) : (0, 64, 128));


all_right('the last segment comes back as zeros', map {
    my $control = $_;

    treat('zeros', sub {
        Analytics::Test::write_file("$data/$last", "\0" x $size);
    }, control => $control, whole => 1), -s "$data/$last.damaged" == $size ? ()
        : 'it is not kept';
} 0, 1);


my @flips = map {
    my $file = $files[rand @files];
    my $at   = 128 + int rand((-s "$pristine/$file") - 128);

    [ $file, $at, int rand 8 ]
} 1 .. (long() ? 400 : 25);

push @flips, map { [ $last, $_->{offset} + int rand $_->{length}, int rand 8 ] }
    long() ? @records : @records[0, -1];

all_right(scalar @flips . ' bits turned, in any of the segments', map {
    my $flip = $_;

    treat("$flip->[0], byte $flip->[1], bit $flip->[2]",
        sub { change(@$flip) });
} @flips);


subtest 'a header of a segment' => sub {
    my @heads = map { [ $_, int rand 128, int rand 8 ] } @files[0, 1, -1];

    for my $flip (@heads) {
        remove_tree($data);
        system('cp', '-a', $pristine, $data) == 0 or die "cp failed\n";
        change(@$flip);
        unlink $nginx->dir . '/error.log';

        $nginx->set(wait => 0);
        ok $nginx->try_start, "$flip->[0], byte $flip->[1]: it starts";
        $nginx->set(wait => 1);

        my $state;

        wait_for(sub {
            $state = eval { $nginx->health };
            return $state && ($state->{state} eq 'ready'
                || ($state->{reason} // '') =~ /\Q$flip->[0]\E/);
        });

        # it must not be taken for another log, nor written over

        if ($state->{state} eq 'ready') {
            ok wait_for(sub {
                $nginx->error_log =~ /from offset 0 of \Q$flip->[0]\E/
            }), 'the error log names it';
            is $nginx->json('/stats/total')->{total_events},
                scalar @{ $nginx->log->{events} }, 'what is left is served';
        } else {
            is $state->{state}, 'unavailable', 'it is not used';
            like $nginx->error_log, qr/\Q$flip->[0]\E/,
                'the error log names it, too';
            is $nginx->post('/events/', '{"user_id":"a","event_type":"b"}')
                ->{status}, 503, 'and nothing is taken';
        }

        $nginx->kill_at_once;
        change(@$flip);

        is_deeply [ grep { $_->{file} ne $last } @{ $nginx->log->{damage} } ],
            [], 'no more was damaged';
    }
};

$nginx->expect_log(qr/analytics zone/);
$nginx->restart;
$nginx->stop;

done_testing;
