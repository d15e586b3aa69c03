# Copyright (C) The nginx analytics authors

# Who asks to be erased is known to nobody from the answer on, and a little
# later to no file either, nor to the memory that the workers share: whenever
# nginx is killed meanwhile.  What was counted of all together stays.

use strict;
use warnings;
no warnings qw(portable);

use Fcntl qw(:flock);
use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Client;
use Analytics::Test;
use Analytics::Torture;

my $LOCATIONS = <<'CONF';
        location /users/   { analytics_erase site; }
        location /memory/  { analytics_erase memory; }
        location = /memory-events  { analytics_collect memory format=event; }
        location /memory-user/     { analytics_stats memory user; }
        location = /memory-total   { analytics_stats memory total; }
CONF

my $nginx = Analytics::Torture->new(
    id => 1, locations => $LOCATIONS,
    log  => 'segment 64k; checkpoint size=64k time=1s;',
    http => 'analytics_zone memory 8m { }',
)->start;

my $data = $nginx->data;

# texts that occur nowhere else, and names of one block and of several

my $mark   = 'mark' . join '', map { int rand 10 } 1 .. 12;
my $victim = "$mark of somebody/else\x{e9}";
my $long   = "$mark " . 'long ' x 45;

utf8::encode($victim);


sub escaped { return $_[0] =~ s/([^A-Za-z0-9])/sprintf '%%%02x', ord $1/ger }


sub erase {
    my ($user, $path) = @_;

    return $nginx->request('DELETE', ($path // '/users/') . escaped($user));
}


sub activity {
    my ($user) = @_;

    return $nginx->get('/stats/user-activity/' . escaped($user));
}


# What the directory has of a text, by file name.

sub files_with {
    my ($text) = @_;

    return grep {
        index(Analytics::Test::read_file($_), $text) >= 0
    } glob "$data/* $data/.[a-z]*";
}


# Shared memory of the workers with a text: undef if it must not be read.

sub memory_with {
    my ($text) = @_;

    my ($worker) = $nginx->workers;
    my $found = 0;

    open my $mem, '<:raw', "/proc/$worker/mem" or return undef;

    for (split /\n/, Analytics::Test::read_file("/proc/$worker/maps")) {
        my ($from, $to) = /^(\w+)-(\w+) rw-s .*zero/ or next;

        my $left  = hex($to) - hex $from;
        my $bytes = '';

        sysseek $mem, hex $from, 0 or return undef;

        while ($left > 0) {
            my $n = sysread $mem, $bytes, $left, length $bytes;

            return undef unless $n;
            $left -= $n;
        }

        $found++ if index($bytes, $text) >= 0;
    }

    return $found;
}


sub done { return wait_for(sub { ($nginx->health->{erasing} // 1) eq 0 }) }


my $count = 0;

sub event {
    my ($user, $more) = @_;

    $count++;

    return sprintf '{"user_id":"%s","event_type":"type %d","message_id":'
        . '"%s %d","timestamp":"2026-01-%02dT%02d:00:00Z",'
        . '"metadata":{"of":"%s","n":%d}}',
        $user, $count % 7, $more // 'nobody', $count, 1 + $count % 28,
        $count % 24, $more // 'nobody', $count;
}


# Some segments of others' events, with some of both among them.

sub fill {
    for my $n (1 .. 60) {
        my @list = map { event("user $_") } 1 .. 30;

        splice @list, 10, 0, map { event($victim, $mark) } 1 .. 3
            if $n % 3 == 0;
        splice @list, 20, 0, event($long, $mark), event($victim, $mark)
            if $n % 7 == 0;

        my $answer = $nginx->post('/events/', '[' . join(',', @list) . ']');

        $answer->{status} == 201 or die "$answer->{line} $answer->{body}\n";
    }

    $nginx->post('/events/', event($victim, $mark))->{status} == 201
        or die "refused\n";
}


# What must not change: everything but the users.

sub anonymous {
    my %now = map { $_ => $nginx->json($_) } '/stats/by-event-type',
        '/stats/over-time?start=2026-01-01&end=2026-01-31',
        '/stats/over-time?start=2026-01-01&end=2026-01-31&interval=hour';

    $now{total} = $nginx->json('/stats/total');

    return \%now;
}


sub others {
    return [ grep { $_->{user_id} !~ /^mark/ }
        @{ $nginx->json('/stats/by-user?limit=1000') } ];
}


# All but user, id of its own and properties of each event.

sub remains {
    my ($log, $erased) = @_;

    return [ map {
        my %event = %$_;

        delete @event{qw(record erased)};
        @event{qw(user own properties)} = ('', undef, '')
            if $erased && $event{user} =~ /^mark/;
        \%event;
    } @{ $log->{events} } ];
}


subtest 'what may be asked' => sub {
    my $answer = $nginx->get('/users/x');

    is_problem($answer, 405, undef, 'users are not read here');
    is $answer->header('allow'), 'DELETE, OPTIONS', 'but erased';
    is $nginx->request('OPTIONS', '/users/x')->{status}, 204, 'OPTIONS';
    is_problem($nginx->request('DELETE', '/users/'), 404, undef, 'nobody');
    is_problem(erase('x' x 256), 404, undef, 'a name that is too long');
    is erase('never seen')->{status}, 202, 'a user that nobody knows';
    ok done(), 'is erased, too';
};


subtest 'a zone without a log' => sub {
    is $nginx->post('/memory-events', event($_))->{status}, 201, $_
        for 'a', 'b';

    is erase('a', '/memory/')->{status}, 202, 'erased';
    is $nginx->get('/memory-user/a')->{status}, 404, 'gone';
    is_json $nginx->json('/memory-total'), '{"total_events":2,'
        . '"unique_users":1,"unique_event_types":2}', 'what was counted stays';
};


fill();
$nginx->stop('QUIT');
$nginx->restart;
fill();

ok wait_for(sub {
    grep({ /checkpoint/ } files_with($mark)) >= 2
}), 'two checkpoints know somebody';

# damage is not to hide anything: what was put aside, and what is no record

Analytics::Test::write_file("$data/00000000000000000001.log.damaged", $mark);
Analytics::Test::write_file("$data/00000000000000000001.checkpoint.damaged",
    $mark);

# what others have left that they were writing: while nobody writes

for my $what ('store', 'checkpoint', 'erase') {
    open my $lock, '>>', "$data/lock.$what" or die "lock.$what: $!\n";
    chown +(stat $data)[4, 5], $lock;
    flock $lock, LOCK_EX or die "lock.$what: $!\n";
    Analytics::Test::write_file("$data/$what.tmp", $mark);
}

my $before    = $nginx->log;
my $anonymous = anonymous();
my $others    = others();

cmp_ok scalar grep({ /\.log$/ } files_with($mark)), '>', 2,
    'and so do some segments';

my $memory = memory_with($mark);

SKIP: {
    skip 'memory must not be read', 1 unless defined $memory;
    is $memory, 1, 'and the zone';
}

is activity($_)->{status}, 200, 'and the API' for $victim, $long;

my $answer = erase($victim);

is $answer->{status}, 202, 'DELETE is accepted';

# new connections, so that both workers are asked

is_json [ map { activity($victim)->{status} } 1 .. 20 ],
    [ (404) x 20 ], 'nobody is told any more, at once';
is activity($long)->{status}, 200, 'of another user one is';
is erase($long)->{status}, 202, 'another one, while that is done';
is activity($long)->{status}, 404, 'is gone, too';

# two users less; nothing else

$anonymous->{total}{unique_users} -= 2;

is_json anonymous(), $anonymous, 'what was counted of all stays';
is_json others(), $others, 'and of each other user';

ok done(), 'after a while all is done';


sub nowhere {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_deeply [ files_with($mark) ], [], "$name: no file says who it was";

    my $memory = memory_with($mark);

    is $memory, 0, "$name: nor does the shared memory" if defined $memory;
}


nowhere('done');

unlike $nginx->error_log, qr/$mark/, 'nor does the error log';
like $nginx->error_log, qr/\[warn\].*: a user is to be erased$/m,
    'which tells that it was accepted';

# who is long of name may have been erased with the other one, with 16 more

ok wait_for(sub {
    $nginx->error_log =~ /\[warn\].*:\ (?:1\ user\ was\ erased,\ 138
                         |2\ users\ were\ erased,\ 154)\ /x
}), 'and that it was done';
is_deeply [ glob "$data/*.tmp $data/erasing* $data/*.damaged" ], [],
    'nothing is left of the work';

my $after = $nginx->log;

is_deeply $after->{damage}, [], 'the log is whole';
is_deeply $after->{malformed}, [], 'and well-formed';
is_json remains($after), remains($before, 1),
    'each event has kept its number, its type and its times';
is_deeply [ grep { $_->{hash} } @{ $after->{erasures} } ], [],
    'and nothing points at a user any more';


# The same from what the files hold.

sub same_again {
    my ($name) = @_;

    subtest $name => sub {
        is_json anonymous(), $anonymous, 'what was counted of all';
        is_json others(), $others, 'the other users';
        is activity($_)->{status}, 404, 'nobody is known' for $victim, $long;
        nowhere($name);
    };
}


$nginx->settle('as an independent count of the log says');

$nginx->stop('QUIT');
$nginx->restart;
same_again('after a restart');

$nginx->kill_at_once;
unlink glob "$data/*.checkpoint";
$nginx->restart;
same_again('from the log alone');

is erase($victim)->{status}, 202, 'erased once more';
ok done(), 'there is nothing to be done';
same_again('after that');


subtest 'who comes back is somebody new' => sub {
    is $nginx->post('/events/', event($victim, 'anew'))->{status}, 201,
        'an event';
    is activity($victim)->json->{total_events}, 1, 'is the first one';

    $nginx->kill_at_once;
    $nginx->restart;

    is activity($victim)->json->{total_events}, 1, 'also after a restart';
    is erase($victim)->{status}, 202, 'is erased again';
    is activity($victim)->{status}, 404, 'and is gone';
    is $nginx->post('/events/', event($victim, 'anew'))->{status}, 201,
        'an event that comes while that is done';
    is activity($victim)->json->{total_events}, 1, 'is the first one';
    ok done(), 'done';
    is activity($victim)->json->{total_events}, 1, 'and stays';

    $nginx->kill_at_once;
    unlink glob "$data/*.checkpoint";
    $nginx->restart;

    is activity($victim)->json->{total_events}, 1, 'in the log, too';
    is erase($victim)->{status}, 202, 'erased for good';
    ok done(), 'done';
    nowhere('after all');
};


# Killed at any moment: what was accepted is done by whoever comes next.

for my $n (1 .. (long() ? 60 : 8)) {
    my $name = "$mark $n";

    $nginx->post('/events/', '[' . join(',', map {
        event($_ % 5 ? "user $_" : $name, $_ % 5 ? undef : $mark)
    } 1 .. 400) . ']')->{status} == 201 or die "refused\n";

    my $accepted = erase($name)->{status};

    sleep rand 0.06;

    if ($n % 4) {
        $nginx->kill_at_once;
        $nginx->restart;

    } else {
        my ($worker) = $nginx->workers;

        kill 'KILL', $worker;

        wait_for(sub {
            my @now = $nginx->workers;
            return @now == 2 && !grep { $_ == $worker } @now;
        });
    }

    is $accepted, 202, "accepted, and killed, $n";
    is activity($name)->{status}, 404, 'nobody knows any more';
    ok done(), 'it is done all the same';
    is_deeply [ files_with($mark) ], [], 'no file says who it was';
}

$nginx->settle('after all of that');


# While others send, and many ask at once.

my $sender = $nginx->sender(clients => 2)->start;

$nginx->more(2000);

for my $n (1 .. 20) {
    $nginx->post('/events/', event("$mark $n", $mark));

    is erase("$mark $n")->{status}, 202, "one of many, $n"
        if $n != 20;
}

$sender->stop;

is erase("$mark 20")->{status}, 202, 'and the last one';
ok done(), 'all are done';
nowhere('after many');
$nginx->settle('beside others', $sender,
    { others => sub { $_[0]{properties} =~ /^\{"of"/ } });

$nginx->stop('QUIT');
done_testing;
