# Copyright (C) The nginx analytics authors

# "retain events=" forgets single events by whole files, in the store and in
# the log; what was counted stays, also after a start from what is left.

use strict;
use warnings;

use JSON::PP ();
use Test::More;

use Analytics::Log;
use Analytics::Test;

# so small that each file of the store but the newest is too much

my $nginx = Analytics::Test->new(
    zone => '64m', path => 1, workers => 1,
    retain => 'totals=all events=1k',
    log => 'store on; sync 100ms; segment 256k; checkpoint size=256k time=1s;',
)->start;

my $dir    = $nginx->dir . '/data';
my $client = $nginx->connect;
my $json   = JSON::PP->new->canonical;
my $posted = 0;


sub post {
    my ($lists) = @_;

    for (1 .. $lists) {
        my @events = map { {
            user_id => 'u' . $posted++ % 997, event_type => 'some',
            metadata => { n => $posted },
        } } 1 .. 1000;

        $client->request(POST => '/events/', type => 'application/json',
            body => $json->encode(\@events))->{status} == 201 or die;
    }
}


sub segments { return sort glob "$dir/*.log" }

sub oldest { return ((segments())[0] =~ m{(\d+)\.log$})[0] + 0 }

sub total { return $nginx->json('/stats/total')->{total_events} }


post(160);

is oldest(), 0, 'the log is needed for those who copy the folder';

# not so much that the store, which stands back for others, is ever more behind

ok wait_for(sub {
    post(8) if $nginx->health->{store}{behind_events} < 100_000;
    $nginx->age_checkpoints;
    oldest() > 0;
}), 'then it loses its beginning';

my $oldest = oldest();

my @parts = sort glob "$dir/*.db";
my ($from) = $parts[0] =~ m{/(\d+)-};

cmp_ok $from, '>', 0, 'as the store does';
cmp_ok $oldest, '<=', $from, 'not more than that';
is total(), $posted, 'all are counted';


# What can be asked for are the last events, without a gap.

sub newest {
    my @ids = map { /^\{"id":(\d+),/ } split /\n/,
        $nginx->get('/events/export')->{body};

    return $ids[-1] == $posted && $ids[-1] - $ids[0] + 1 == @ids
        && $ids[0] > 1;
}

ok newest(), 'the last events are there, the first are not';

# a file may go while it is read

my $log;

wait_for(sub { $log = eval { Analytics::Log->read($dir) } }) or die $@;

is_deeply $log->{damage}, [], 'what is left of the log is whole';
is $log->{next}, $posted + 1, 'up to the last event';


subtest 'restarts' => sub {
    $nginx->stop;
    $nginx->start;
    $nginx->ready;

    is total(), $posted, 'all are counted after an orderly one';
    ok newest(), 'and the last are there';

    $client = $nginx->connect;
    post(40);

    $nginx->kill_all;
    $nginx->start;
    $nginx->ready;

    is total(), $posted, 'and after kill -9';
    is $nginx->json('/stats/user-activity/u0')->{total_events},
        scalar(grep { $_ % 997 == 0 } 0 .. $posted - 1), 'of each user';
    ok newest(), 'and the last are there';
};


subtest 'a start without any checkpoint' => sub {
    $nginx->stop;

    unlink glob "$dir/*.checkpoint" or die;

    my $left = @{ Analytics::Log->read($dir)->{events} };

    $nginx->expect_log(qr/there is no checkpoint, and the first \d+ bytes/);
    $nginx->start;
    $nginx->ready;

    cmp_ok $left, '<', $posted, 'something was forgotten';
    is total(), $left, 'what is left is counted, and the loss is told';

    $client = $nginx->connect;
    $posted = $left;
    post(1);
    is total(), $posted, 'and it goes on';
};


$nginx->stop;
done_testing;
