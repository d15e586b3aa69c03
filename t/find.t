# Copyright (C) The nginx analytics authors

# Whatever is asked of single events, the answer is, byte for byte, what an
# independent program finds in the list of those that were posted: in parts of
# the store and in the log behind them, on any page, in either order, also when
# somebody among them is erased.
#
# ANALYTICS_SEED repeats a run; with ANALYTICS_TORTURE there are a million
# events.

use strict;
use warnings;

use Fcntl qw(:flock);
use Test::More;

use Analytics::Finder;
use Analytics::Log;
use Analytics::Test;

my $DATA = Analytics::Test::root_dir()
    . '/../shared/data/semicomplete-2015-05.ndjson';

my $N    = $ENV{ANALYTICS_TORTURE} ? 1_000_000 : 90_000;
my $LIST = 1000;                # events a request
my $TAIL = 20_000;              # too few for a part of the store
my $PART = 32_768;

my $seed = $ENV{ANALYTICS_SEED} // time;

note "ANALYTICS_SEED=$seed";
srand $seed;

my $nginx = Analytics::Test->new(
    zone => '128m', path => 1, log => 'store on; sync off;',
    locations => <<'CONF',
        location = /usage { analytics_collect site format=usage; }
        location /users/  { analytics_erase site; }
CONF
)->start;
my $dir = $nginx->dir . '/data';

my $finder = Analytics::Finder->new;
my (@clients, @posted);         # [id, user, type, time, properties]


sub pick { return $_[rand @_] }

sub chance { return rand() < $_[0] }

sub behind { return $nginx->health->{store}{behind_events} }

sub clients { @clients = map { $nginx->connect } 1 .. 4 }

clients();


sub collect {
    my ($path, $body, @events) = @_;

    my $answer = $clients[0]->request(POST => $path, body => $body,
        type => 'application/x-ndjson');
    my $id = $answer->{status} == 201 ? $answer->json->{first_id}
        : die "not taken: $answer->{body}\n";

    push @posted, [$id++, @$_] for @events;
}


# The sites' own events: names of integers, of other bytes, some of them
# alike; few who do much and many who do little.

my @HEAVY = ('7', '-5', '0', '9007199254740991', 'ann', 'Ann', 'ann ',
    "\xc3\xa9\xe2\x82\xac", 'a"b\\c/d', "x' OR 1=1 --");
my @TYPES = ('login', 'Login', 'page_view', "\xf0\x9f\x98\x80", 'a b+c&d=e',
    'purchase', 'error');
my $EPOCH = 1_700_000_000_000_000;
my @SAME  = map { $EPOCH + 1_000_000 * int rand 86_400 } 1 .. 100;


sub random_user {
    return chance(0.5) ? pick(@HEAVY)
        : chance(0.5) ? 1000 + int rand 20_000 : 'user ' . int rand 10_000;
}


sub random_type {
    return chance(0.95) ? pick(@TYPES) : 'rare ' . int rand 300;
}


# Many at the same time, none in order.  Without one it is that of receipt.

sub random_time {
    my $kind = int rand 10;

    return undef if $kind == 0;
    return $EPOCH if $kind == 1;
    return pick(@SAME) if $kind < 5;
    return pick(@SAME) + int(rand 3) - 1 if $kind < 7;
    return $EPOCH + 1000 * int rand 86_400_000 if $kind < 9;
    return int rand $EPOCH;
}


# In one of the ways in which it can be written.

sub time_text {
    my ($usec) = @_;

    my $zone = pick('Z', 'Z', '+02:00', '-09:30');
    my $text = Analytics::Finder::instant($usec
        + ($zone eq 'Z' ? 0 : $zone eq '+02:00' ? 7200e6 : -34200e6));

    $text =~ s/Z$/$zone/;
    $text =~ s/T/ / if chance(0.1);

    return $text;
}


sub random_properties {
    my ($i) = @_;

    return pick('', qq({"n":$i}), qq({"n":$i}),
        qq({ "n" : $i.0, "n\\u0031":[] }),
        qq({"path":"/a/$i","text":"\xc3\xa9 \\u00e9 \\"q\\" , ' ;",)
            . '"deep":{"a":[1,2]}}');
}


sub random_events {
    my ($from, $n) = @_;

    for (1 .. $n / $LIST) {
        my (@events, @lines);

        for (1 .. $LIST) {
            my @event = (random_user(), random_type(), random_time(),
                random_properties($from++));
            my ($user, $type, $time, $properties) = @event;

            push @events, \@event;
            push @lines, '{"user_id":' . Analytics::Finder::string($user)
                . ',"event_type":' . Analytics::Finder::string($type)
                . (defined $time ? ',"timestamp":"' . time_text($time) . '"'
                    : '')
                . ($properties ? ",\"metadata\":$properties" : '') . '}';
        }

        collect('/events/', join("\n", @lines), @events);

        # too far behind, it would not be waited for

        wait_for(sub { behind() < 4 * $PART }) or die "the store stands\n"
            if @posted % 50_000 == 0;
    }
}


# The finder learns what the log says of the times of receipt.

sub learn {
    my @received;

    Analytics::Log->read($dir, record => sub { }, event => sub {
        $received[ $_[0]{id} ] = $_[0]{received};
    });

    is scalar @received - 1, scalar @posted, 'all events are in the log';

    my $finder = Analytics::Finder->new;

    for my $event (@posted) {
        my ($id, $user, $type, $time, $properties) = @$event;

        $finder->add($id, $user, $type, $time // $received[$id],
            $received[$id], $properties);
    }

    return $finder;
}


# Questions.

sub escape {
    my ($text) = @_;

    my $more = chance(0.1);

    return join '', map {
        $_ eq ' ' && chance(0.5) ? '+'
            : /[A-Za-z0-9._~-]/ && !($more && chance(0.3)) ? $_
            : sprintf chance(0.5) ? '%%%02x' : '%%%02X', ord
    } split //, $text;
}


sub random_instant {
    my ($by) = @_;

    my $i = int rand $finder->count;

    return $finder->{$by}[$i] + pick(-1, 0, 0, 1, 1_000_000, -3_600_000_000);
}


sub random_question {
    my ($route) = @_;

    my %q = (by => $route eq 'activity' ? 'received' : 'time');

    if (chance(0.6)) {
        my $i = int rand $finder->count;

        $q{user} = chance(0.05) ? pick('nobody', 'ANN', '%', '06x', 'ann%')
            : $finder->{user}[$i] // pick(@HEAVY);

        delete $q{user} if $route eq 'activity'
            && !Analytics::Finder::is_integer($q{user});
    }

    $q{type} = chance(0.05) ? 'none' : random_type() if chance(0.4);

    $q{from} = random_instant($q{by}) if chance(0.4);
    $q{to} = random_instant($q{by}) if chance(0.4);

    @q{qw(from to)} = @q{qw(to from)}
        if defined $q{from} && defined $q{to} && $q{from} > $q{to};
    delete @q{ grep { !defined $q{$_} } keys %q };

    $q{order} = pick('asc', 'desc', 'desc') if chance(0.7);

    if ($route ne 'export') {
        $q{limit} = pick(1, 2, 10, 100, 1000, 1 + int rand 1000)
            if chance(0.8) || $route eq 'activity' && !defined $q{user};
        $q{skip} = pick(0, 1, int rand 50, int rand 2000, int rand 100_001)
            if chance(0.3);
    }

    return \%q;
}


my %ROUTE = (
    event    => '/events/',
    activity => '/api/events',
    export   => '/events/export',
);


sub path {
    my ($route, $q, @more) = @_;

    my %args = map { $_ => $q->{$_} }
        grep { defined $q->{$_} } qw(order skip limit);

    $args{user_id} = escape($q->{user}) if defined $q->{user};
    $args{event_type} = escape($q->{type}) if defined $q->{type};

    # a plus sign may come as it is

    for (grep { defined $q->{$_} } qw(from to)) {
        my $text = time_text($q->{$_});

        $args{$_} = chance(0.5) ? escape($text) : $text =~ s/ /%20/r;
    }

    my @args = map { "$_=$args{$_}" } sort { $args{$a} cmp $args{$b} }
        keys %args;

    push @args, @more;

    return $ROUTE{$route} . (@args ? '?' . join '&', @args : '');
}


sub body {
    my ($route, $format, $found) = @_;

    my $by   = $route eq 'activity' ? 'activity' : 'event';
    my @rows = map { $finder->row($_, $by) } @$found;

    return '[' . join(',', @rows) . ']' if $route ne 'export';
    return join '', map { "$_\n" } @rows if $format eq 'ndjson';
    return '[' . join(',', map { "\n$_" } @rows) . "\n]\n";
}


# Returns where the next page is, or dies.

sub compare {
    my ($path, $expected, $more) = @_;

    my $answer = pick(@clients)->request(GET => $path);
    my $link = $answer->header('Link');

    die "$path: $answer->{line} $answer->{body}\n"
        if $answer->{status} != 200;

    if ($answer->{body} ne $expected) {
        my $same = ($answer->{body} ^ $expected) =~ /^(\0*)/ ? length $1 : 0;
        my $from = $same > 100 ? $same - 100 : 0;

        die sprintf "%s: %d bytes, not %d, from byte %d on\n     got: %s\n"
            . "expected: %s\n", $path, length $answer->{body},
            length $expected, $same, map { substr $_, $from, 300 }
            $answer->{body}, $expected;
    }

    die "$path: is not said to be exact\n"
        if defined $answer->header('X-Analytics-Exact');

    die "$path: " . ($more ? 'no' : 'a') . " next page\n"
        if $more xor defined $link;

    return undef unless $more;

    $link =~ /^<([^<>]+)>; rel="next"$/ or die "$path: Link: $link\n";

    return $1;
}


sub ask {
    my ($route, $q, $done) = @_;

    my $format = $route ne 'export' ? '' : pick('ndjson', 'json');
    my $path   = path($route, $q, !$format ? ()
        : $format eq 'ndjson' && chance(0.5) ? () : "format=$format");
    my %limit = $route eq 'event' ? (limit => 100) : ();

    my ($found, $more) = $finder->find(%limit, %$q);

    my $next = compare($path, body($route, $format, $found), $more);

    $done->{$route}++;
    $done->{rows} += @$found;
    $done->{none}++ if !@$found;

    return if !$next || chance(0.7);

    # and so on to the end, unless that is far

    my ($all)  = $finder->find(%$q, limit => undef);
    my $limit  = $q->{limit} // 100;
    my $at     = $limit;

    return if @$all > 20 * $limit;

    while ($next) {
        my $last = $at + $limit < @$all ? $at + $limit : @$all;

        my @page = @$all[$at .. $last - 1];

        $next = compare($next, body($route, $format, \@page), $last < @$all);
        $at = $last;
        $done->{followed}++;
    }
}


sub ask_many {
    my ($n) = @_;

    $n *= 2 if $ENV{ANALYTICS_TORTURE};

    my (%done, @wrong);

    for (1 .. $n) {
        my $route = pick(('event') x 6, ('activity') x 3, 'export');
        my $q = random_question($route);

        # all of it is asked for now and then only

        $q->{user} = random_user()
            if $route eq 'export' && !defined $q->{user} && chance(0.95);

        eval { ask($route, $q, \%done); 1 } or push @wrong, $@;

        last if @wrong > 4;
    }

    is scalar @wrong, 0, "$n questions are answered as they must be"
        or diag join "\n", @wrong;

    cmp_ok $done{followed} // 0, '>', 0, 'some of them to the last page'
        if $n >= 250;
    cmp_ok $done{none} // 0, '<', $n / 2, 'most have an answer';
    note join ', ', map { "$_: $done{$_}" } sort keys %done;
}


# The parts of the store are made one after the other, and what comes last
# stays in the log as long as somebody else has the right to fill the store.

if (-f $DATA) {
    my @lines = split /\n/, Analytics::Test::read_file($DATA);

    for (my $i = 0; $i < @lines; $i += $LIST) {
        my @some = @lines[$i .. $i + $LIST - 1];

        collect('/usage', join("\n", @some), map {
            /^\{"user_id":"([^"]*)","timestamp":"([^"]*)",
                "action_type":"([^"]*)","metadata":(\{.*\})\}$/x
                or die "what is $_?\n";
            [$1, $3, data_time($2), $4]
        } @some);
    }
}


# Of the data set: whole seconds of one month.

sub data_time {
    my ($day, $hour, $min, $sec) =
        $_[0] =~ /^2015-05-(\d\d)T(\d\d):(\d\d):(\d\d)Z$/
        or die "what time is $_[0]?\n";

    # 2015-05-01 was the 16556th day

    return 1_000_000 * ((16_555 + $day) * 86_400 + $hour * 3600 + $min * 60
        + $sec);
}


my $first = 36_000 - @posted;

random_events(0, $first);
ok wait_for(sub { behind() < $PART }), 'a part is made';

random_events($first, $N - $first - $TAIL);
ok wait_for(sub { behind() < $PART }), 'and another one';

my $lease;

ok wait_for(sub {
    open $lease, '+<', "$dir/lock.store" or die "lock.store: $!\n";
    return flock $lease, LOCK_EX | LOCK_NB;
}), 'nobody fills the store now';

random_events($N - $TAIL, $TAIL);

$finder = learn();

is $nginx->json('/stats/total')->{total_events}, $finder->count,
    'all are counted';


subtest 'in parts and in the log' => sub {
    my $store = $nginx->health->{store};

    cmp_ok $store->{parts}, '>', 1, 'there are parts';
    cmp_ok $store->{behind_events}, '>=', $TAIL, 'and events behind them';

    ask_many(600);
};


subtest 'pages miss and repeat nothing while events come in' => sub {
    my ($all) = $finder->find(user => 'ann');
    my $next  = '/events/?user_id=ann&limit=200';
    my @late  = (1, (time + 3600) * 1_000_000);
    my @ids;

    while ($next) {
        my $answer = $clients[1]->request(GET => $next);

        push @ids, map { $_->{id} } @{ $answer->json };
        ($next) = ($answer->header('Link') // '') =~ /^<(.*)>; rel="next"$/;

        # one before the pages that were read, and one behind all

        for my $time (splice @late) {
            my $text = Analytics::Finder::instant($time);

            collect('/events/', qq({"user_id":"ann","event_type":"late",)
                . qq("timestamp":"$text"}), ['ann', 'late', $time, '']);
        }
    }

    is_deeply \@ids, [(map { $finder->{id}[$_] } @$all), $posted[-1][0]],
        'each once, in order, and the last one, too';
};


# From the answer on, though nobody changes the store's files yet.

subtest 'somebody of whom there is much is erased' => sub {
    my $gone = '7';

    $nginx->expect_log(qr/users could not be erased yet/);
    is $clients[0]->request(DELETE => "/users/$gone")->{status}, 202,
        'that is accepted';

    for my $event (@posted) {
        $event->[1] = undef if ($event->[1] // '') eq $gone;
    }

    $finder = learn();

    ask_many(200);
};


subtest 'when the store has been filled' => sub {
    my $tail = @posted;

    close $lease;

    # a part may be made before all of these have come

    random_events($N, 15_000);

    ok wait_for(sub { @posted - behind() >= $tail }), 'the tail is in a part';
    ok wait_for(sub { $nginx->health->{erasing} eq 0 }),
        'and who was to be erased in no file';

    $finder = learn();

    ask_many(250);
};


subtest 'after a restart' => sub {
    $nginx->stop;
    $nginx->start;
    clients();

    ask_many(250);
};


$nginx->stop;
done_testing;
