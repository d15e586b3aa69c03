# Copyright (C) The nginx analytics authors

# How many events each user had recorded in each period is counted once, when
# the period is over, and stays what it was: after restarts, kill -9, when the
# period is changed, when others are erased, and when a file is damaged.

use strict;
use warnings;

use JSON::PP ();
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(time);

use Analytics::Log;
use Analytics::Test;

my $nginx = Analytics::Test->new(
    zone => '32m', path => 1, log => 'store on; counts 1s;',
    locations => 'location /users/ { analytics_erase site;
        analytics_person site format=activity; }',
)->start;
my $dir  = $nginx->dir . '/data';
my $json = JSON::PP->new->canonical;


sub rfc3339 { return strftime '%Y-%m-%dT%H:%M:%SZ', gmtime $_[0] }

sub counts {
    my ($query) = @_;

    return $nginx->json('/api/activity-counts' . ($query // ''));
}


# What the log says, by an implementation of its own.

sub expected {
    my ($period, $until) = @_;

    my %n;

    for my $event (@{ Analytics::Log->read($dir)->{events} }) {
        my $start = int($event->{received} / 1e6 / $period) * $period;

        $n{$start}{ $event->{user} }++ if $start + $period <= $until;
    }

    return [map {
        my $start = $_;

        map { {
            user_id => $_ =~ /^\d+$/ ? $_ + 0 : $_,
            period_start => rfc3339($start),
            period_end => rfc3339($start + $period),
            count => $n{$start}{$_},
        } } sort keys %{ $n{$start} };
    } sort { $a <=> $b } keys %n];
}


sub post {
    my @events = map { { user_id => "$_", event_type => 'a' } } @_;

    $nginx->post('/events/', $json->encode(\@events))->{status} == 201
        or die 'not taken';
}


# Waits until the last period in which anything was recorded has been counted:
# it may be over by now, and one in which nothing was has no file.

sub settled {
    my $mark;

    Analytics::Log->read($dir, record => sub { },
        event => sub { $mark = 1 + int($_[0]{received} / 1e6) });

    ok wait_for(sub {
        grep { /-0*(\d+)\.db$/ && $1 >= $mark } glob "$dir/period-*.db"
    }), 'the period is over and counted';

    return $mark;
}


is_deeply counts(), [], 'nothing yet';

my ($mark, $begun) = (0, time);

# some periods, with one in the middle in which nothing is recorded

for my $round (1 .. 4) {
    next if $round == 3 && wait_for(sub { time > $mark + 1.1 });

    post(map { $_ % 13 } 1 .. 100);
    post('ann', 'b"ob', 'ann');
    $mark = settled();
}

my $before = expected(1, $mark);

is_deeply counts('?to=' . rfc3339($mark)), $before,
    'each user, in each period, in order';
cmp_ok scalar @$before, '>=', 3 * 15, 'of several periods';
is_deeply counts('?user_id=5&to=' . rfc3339($mark)),
    [grep { $_->{user_id} eq '5' } @$before], 'of one user';
is_deeply counts('?from=' . $before->[0]{period_end} . '&to='
    . rfc3339($mark)),
    [grep { $_->{period_start} ne $before->[0]{period_start} } @$before],
    'from a time on';
is_deeply counts('?user_id=77777'), [], 'a stranger';

is $nginx->get('/api/activity-counts?order=desc')->json->{errors}[0]{field},
    'order', 'a parameter that it does not have is named';
is $nginx->get('/api/activity-counts?user_id=ann')->{status}, 422,
    'users are integers here';


subtest 'sqlite3 reads them' => sub {
    my ($file) = sort glob "$dir/period-*.db";
    my $start = $before->[0]{period_start};

    my $said = `sqlite3 -readonly '$file' 'SELECT * FROM activity_counts'`;
    my @lines = map { join '|', @$_{qw(user_id period_start period_end count)} }
        grep { $_->{period_start} eq $start } @$before;

    is $said, join('', map { "$_\n" } @lines), 'the view';
};


subtest 'a period that was counted stays so' => sub {
    my %old = map { $_ => (stat)[1] } glob "$dir/period-*.db";

    $nginx->kill_all;
    $nginx->start;
    $nginx->ready;

    post(1 .. 5);
    settled();

    is_deeply counts('?to=' . rfc3339($mark)), $before, 'after kill -9';

    # the file's number tells whether it was written again
    is((stat $_)[1], $old{$_}, 'the same file') for sort keys %old;
};


subtest 'what was recorded while nobody counted is counted later' => sub {
    $nginx->reload(log => 'store on;');

    # in periods that follow each other

    for my $user (1 .. 5) {
        my $since = time;

        post($user, 6, 7) && wait_for(sub { time > $since + 1 });
    }

    $nginx->reload(log => 'store on; counts 2s;');
    post(8);
    settled();

    is_deeply counts('?to=' . rfc3339($mark)), $before,
        'what was there stays, with another period';

    my %sum;

    $sum{ $_->{user_id} } += $_->{count} for @{ counts() };

    my %all;

    $all{ $_->{user} }++ for @{ Analytics::Log->read($dir)->{events} };

    is_deeply \%sum, \%all, 'all of the log is counted once';
};


# What the store is filled with does not wait for who counts.

subtest 'when counts cannot be written the store is filled' => sub {
    $nginx->expect_log(qr/periods were not counted/);

    mkdir "$dir/period.tmp" or die;
    post(1);

    ok wait_for(sub { $nginx->error_log =~ /periods were not counted/ }),
        'the error log says so';

    for (1 .. 40) {
        post(map { $_ % 50 } 1 .. 1000);
    }

    ok wait_for(sub { $nginx->health->{store}{parts} > 0 }), 'a part is made';
    unlike $nginx->error_log, qr/the store was not filled/,
        'nothing else failed';

    rmdir "$dir/period.tmp" or die;
    post(2);
    settled();

    my %sum;

    $sum{ $_->{user_id} } += $_->{count} for @{ counts() };

    my %all;

    $all{ $_->{user} }++ for @{ Analytics::Log->read($dir)->{events} };

    is_deeply \%sum, \%all, 'all is counted later';
};


my %DAMAGE = (
    'emptied'    => sub { truncate $_[0], 0 },
    'cut short'  => sub { truncate $_[0], 9000 },
    'not SQLite' => sub { overwrite($_[0], 0, 'x' x -s $_[0]) },
    'with noise in it' => sub {
        overwrite($_[0], 100, join '', map { chr rand 256 } 1 .. 5000);
    },
    "another period's" => sub {
        system('cp', '-p', (sort glob "$dir/period-*.db")[-1], "$_[0].new");
        rename "$_[0].new", $_[0];
    },
);


sub aside { return scalar(() = glob "$dir/period-*.bad") }


subtest 'a file that is damaged is counted again' => sub {
    my $all = counts();

    $nginx->expect_log(qr/what was counted of a period was put aside/);

    for my $what (sort keys %DAMAGE) {
        my ($file) = sort glob "$dir/period-*.db";

        $DAMAGE{$what}->($file);

        my $answer = $nginx->get('/api/activity-counts');

        is $answer->{status}, 200, "$what: there is an answer";
        like $answer->header('X-Analytics-Exact') // '', qr/^false/,
            'it says that it is not all';
        cmp_ok scalar @{ $answer->json }, '<', @$all, 'which is so';
        is $nginx->get('/users/5/export')->{status}, 200,
            'a person has an answer, too';

        ok wait_for(sub { !aside() }), 'it is made again';

        $answer = $nginx->get('/api/activity-counts');

        is_deeply $answer->json, $all, 'and is what it was';
        is $answer->header('X-Analytics-Exact'), undef, 'exactly';
    }
};


subtest 'who is erased does not end the counting' => sub {
    my $known = grep { defined $_->{user} && $_->{user} eq '5' }
        @{ Analytics::Log->read($dir)->{events} };

    cmp_ok $known, '>', 0, 'somebody has done something';

    # all of one period, and the first of another one

    my $since = time;

    post(5, 5, 5);
    wait_for(sub { time > $since + 2 });
    post(5, 8);

    # what nobody can read is in nobody's way

    $DAMAGE{'not SQLite'}->((sort glob "$dir/period-*.db")[0]);

    is $nginx->request(DELETE => '/users/5')->{status}, 202, 'is erased';
    post(9);
    settled();

    is_deeply counts('?user_id=5'), [], 'has no counts';

    ok wait_for(sub { $nginx->health->{erasing} eq 0 }), 'nor events';
    ok wait_for(sub { !aside() }),
        'what was damaged is counted again';

    my %sum;

    $sum{ $_->{user_id} } += $_->{count} for @{ counts() };

    my %all;

    $all{ $_->{user} }++ for grep { !$_->{erased} }
        @{ Analytics::Log->read($dir)->{events} };

    is_deeply \%sum, \%all, 'all others are counted once';
};


$nginx->stop;
done_testing;
