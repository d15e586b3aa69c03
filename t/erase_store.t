# Copyright (C) The nginx analytics authors

# Who is erased is not in the store's files either, nor in what was counted by
# period; everybody else is, as before.

use strict;
use warnings;

use JSON::PP ();
use Test::More;

use Analytics::Log;
use Analytics::Test;

my $nginx = Analytics::Test->new(
    zone => '32m', path => 1, workers => 1,
    log => 'store on; counts 1s; checkpoint time=1s size=1m;',
    locations => 'location /users/ { analytics_erase site; }',
)->start;

my $dir    = $nginx->dir . '/data';
my $client = $nginx->connect;
my $json   = JSON::PP->new->canonical;

my $mark = 'mark' . join '', map { int rand 10 } 1 .. 12;


sub get { return $client->request(GET => $_[0])->json }

sub post {
    my (@events) = @_;

    $client->request(POST => '/events/', type => 'application/json',
        body => $json->encode(\@events))->{status} == 201 or die;
}


sub files_with {
    my ($text) = @_;

    my @found;

    for my $file (glob "$dir/* $dir/.??*") {
        push @found, $file
            if index(Analytics::Test::read_file($file), $text) >= 0;
    }

    return @found;
}


my $n = 0;

for (1 .. 40) {
    post(map { {
        user_id => $n++ % 500 ? 'u' . $n % 97 : $mark,
        event_type => 'some', metadata => { of => $n % 500 == 1 ? $mark : '' },
    } } 1 .. 1000);
}

my ($last, $kinds);

Analytics::Log->read($dir, record => sub { },
    event => sub { $last = int($_[0]{received} / 1e6) });

ok wait_for(sub {
    return 0 unless $nginx->health->{store}{parts}
        && grep { /-0*(\d+)\.db$/ && $1 > $last } glob "$dir/period-*.db";

    my %with = map { /(period|\.\w+$)/ ? ($1 => 1) : () } files_with($mark);

    $kinds = join ' ', sort keys %with;

    return $kinds eq '.checkpoint .db .log period';
}), 'the store, the counts and a checkpoint know' or diag $kinds;

sub seen { return scalar @{ get("/events/?user_id=$_[0]&limit=1000") } }

sub others {
    return [
        grep { $_->{user_id} ne $mark } map { $json->decode($_) }
            split /\n/, $client->request(GET => '/events/export')->{body}
    ];
}

sub counted {
    return [grep { $_->{user_id} ne $mark } @{ get('/api/activity-counts') }];
}

my ($others, $counted) = (others(), counted());

is seen($mark), 80, 'there are events';
is @$others, 40_000 - 80, 'and those of others';

is $client->request(DELETE => "/users/$mark")->{status}, 202, 'accepted';

is seen($mark), 0, 'nothing is to be had at once';
is scalar(grep { $_->{user_id} eq $mark } @{ get('/api/activity-counts') }), 0,
    'no counts either';
is $client->request(GET => "/stats/user-activity/$mark")->{status}, 404,
    'nor figures';

ok wait_for(sub { $nginx->health->{erasing} eq 0 }), 'done';

is_deeply [files_with($mark)], [], 'no file knows';
is_deeply others(), $others, 'all others are there';
is_deeply counted(), $counted, 'and counted as before';
is get('/stats/total')->{total_events}, 40_000, 'the total stays';

# a part may end before the last of them

for my $file (grep { !/period/ } glob "$dir/*.db") {
    my ($check, $first, $last, $nobody) = split /\s/,
        `sqlite3 -readonly -separator ' ' '$file' 'PRAGMA integrity_check;
            SELECT min(id), max(id), sum(user_id IS NULL) FROM events'`;

    is $check, 'ok', 'the part is whole';
    is $nobody, scalar(grep { $_ % 500 == 1 } $first .. $last),
        'and has events of nobody';
}

post({ user_id => $mark, event_type => 'again' });

is seen($mark), 1, 'who comes back has what came then';

$nginx->stop;
$nginx->start;
$nginx->ready;
$client = $nginx->connect;

is seen($mark), 1, 'also after a restart';
is_deeply [grep { $_->{user_id} ne $mark } @{ others() }], $others,
    'as do all others';

$nginx->stop;
done_testing;
