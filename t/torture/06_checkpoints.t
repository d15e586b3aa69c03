# Copyright (C) The nginx analytics authors

# Checkpoints that are damaged, missing, of a newer version, of another log,
# or ahead of the log: each is told, and the other one, or the log alone,
# serves.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Path qw(remove_tree);
use Test::More;

use Analytics::Log;
use Analytics::Test;
use Analytics::Torture;


# A log with two checkpoints.

sub fill {
    my ($nginx, $name) = @_;

    my $n = 0;

    wait_for(sub {
        my $list = '[' . join(',', map {
            sprintf '{"user_id":"%s %d","event_type":"type %d",'
                . '"metadata":{"n":%d}}', $name, $_ % 30, $_ % 5, $n++
        } 1 .. 20) . ']';

        $nginx->post('/events/', $list)->{status} == 201 or die "refused\n";

        return checkpoints($nginx) >= 2;
    });

    # what comes behind them
    $nginx->post('/events/', '{"user_id":"last","event_type":"last"}');

    return $n + 1;
}


sub checkpoints {
    my ($nginx) = @_;

    return map { s{.*/}{}r } sort glob $nginx->data . '/[0-9]*.checkpoint';
}


my $nginx = Analytics::Torture->new(
    log => 'segment 64k; checkpoint size=8k time=1s;')->start;
my $other = Analytics::Torture->new(
    log => 'segment 64k; checkpoint size=8k time=1s;')->start;

fill($other, 'other');
$other->kill_at_once;

my $total    = fill($nginx, 'user');
my $data     = $nginx->data;
my $pristine = $nginx->dir . '/pristine';

$nginx->quiet;
$nginx->kill_at_once;

# no further checkpoint changes what is looked at
$nginx->configure(log => 'segment 64k; checkpoint size=1g time=1h;');

my @names = checkpoints($nginx);

cmp_ok scalar @names, '>=', 2, 'two are kept';

# others may be, for those who copy the folder

unlink map { "$data/$_" } splice @names, 0, -2;
system('cp', '-a', $data, $pristine) == 0 or die "cp failed\n";
is $total, scalar @{ $nginx->log->{events} }, 'the log has all events';


sub prepare {
    remove_tree($data);
    system('cp', '-a', $pristine, $data) == 0 or die "cp failed\n";
}


sub bytes  { return Analytics::Test::read_file("$data/$_[0]") }

sub put {
    my ($name, $bytes) = @_;

    Analytics::Test::write_file("$data/$name", $bytes);
}


# A header with something changed, and the checksum that belongs to it.

sub head {
    my ($name, $at, $value) = @_;

    my $bytes = bytes($name);

    substr $bytes, $at, length $value, $value;
    substr $bytes, 124, 4,
        pack 'V', Analytics::Log::crc32c(substr $bytes, 0, 124);
    put($name, $bytes);
}


# Starts with what was prepared: every figure is as it was.

sub serves {
    my ($what, %option) = @_;

    subtest $what => sub {
        my $log = length $nginx->error_log;

        $nginx->restart;

        is $nginx->json('/stats/total')->{total_events},
            $option{total} // $total, 'every event is counted';
        is_json $nginx->json('/stats/by-user?limit=1000'),
            $nginx->account([], damage => 1)->{oracle}->by_user(1000),
            'user by user' unless $option{total};

        my $said = substr $nginx->error_log, $log;

        for my $name (@{ $option{bad} // [] }) {
            my @lines = grep { /\Q$name\E/ && /\[(?:error|warn|alert)\]/ }
                split /\n/, $said;

            is scalar @lines, 1, 'one line tells of it' or diag $said;
            ok !-e "$data/$name", 'it is set aside';
            ok -e "$data/$name.damaged", 'under another name';
        }

        for my $name (@{ $option{newer} // [] }) {
            like $said, qr/\Q$name\E/, 'it is told';
            ok -e "$data/$name", 'and left where it is';
        }

        is $nginx->post('/events/', '{"user_id":"a","event_type":"b"}')
            ->{status}, 201, 'it goes on';

        $nginx->kill_at_once;
    };

    prepare();
}


$nginx->expect_log(qr/checkpoint/, qr/damaged and were passed over/);

serves('as they are');

# that they are used shows where the log is damaged behind them: what they
# have counted stays counted

my ($first) = @{ $nginx->log->{records} };
my $file = bytes($first->{file});

substr $file, $first->{offset} + 40, 1, "\xff";
put($first->{file}, $file);
serves('instead of the log before them', total => $total);

put($first->{file}, $file);
unlink map { "$data/$_" } @names;
is $total - $first->{events}, scalar @{ $nginx->log->{events} },
    'without them it would count';
serves('the log alone, damaged', total => $total - $first->{events});

unlink "$data/$names[1]";
serves('the newer one is missing');

unlink map { "$data/$_" } @names;
serves('both are missing');

my $length = length bytes($names[1]);

for my $at (long() ? (map { int rand $length } 1 .. 60)
    : (0, 8, 40, 124, 130, map { 128 + int rand($length - 128) } 1 .. 4))
{
    my $bytes = bytes($names[1]);

    substr $bytes, $at, 1, substr($bytes, $at, 1) ^ "\x10";
    put($names[1], $bytes);

    # another version is not known whether it is damaged: see below
    serves("a bit of byte $at is wrong", bad => [ $names[1] ]);
}

for my $size (0, 1, 127, 128, 200, $length - 1) {
    truncate "$data/$names[1]", $size;
    serves("cut to $size bytes", bad => [ $names[1] ]);
}

put($names[1], bytes($names[1]) . 'more');
serves('more behind it') if long();

for my $name (@names) {
    truncate "$data/$name", 300;
}
serves('both are cut', bad => \@names);

head($names[1], 8, pack 'V', 2);
serves('a newer version', newer => [ $names[1] ]);

head($names[1], 16, 'x' x 16);
serves('another log', bad => [ $names[1] ]);

my ($strange) = checkpoints($other);

copy($other->data . "/$strange", "$data/$names[1]") or die "copy: $!\n";
serves('that of another zone', bad => [ $names[1] ]);

head($names[1], 32, pack 'Q<', 10 ** 9);
serves('another position than its name', bad => [ $names[1] ]);

# the log is cut before the newest one's position

my $log    = $nginx->log;
my $wanted = $names[1] =~ /^0*(\d+)/ ? $1 : die;
my ($cut)  = grep { $_->{position} + $_->{length} == $wanted }
    @{ $log->{records} };

ok $cut, 'it stands where a record ends';

for my $segment (@{ $log->{segments} }) {
    unlink "$data/$segment->{file}"
        if $segment->{position} > $cut->{position};
    truncate "$data/$segment->{file}", $cut->{offset}
        if $segment->{file} eq $cut->{file};
}

my $left = @{ $nginx->log->{events} };

cmp_ok $left, '<', $total, 'the log is shorter';
serves('ahead of the log', total => $left, bad => [ $names[1] ]);

# nobody else's file is touched

put('00000000000000000000.checkpoint.mine', 'mine');
serves('a file of somebody else');
put('README', 'mine');
put($names[1] =~ s/^(\d+)/$1x/r, 'mine');
serves('names that are alike');

# one that was being written

put("$names[1].tmp", 'half');
put('checkpoint.new', 'half');
serves('one that was never finished');

$nginx->restart;
$nginx->stop;

done_testing;
