# Copyright (C) The nginx analytics authors

# Strangers ask for single events with whatever can be put into an address.
# What is a question is answered as an independent program answers it, all
# else is refused as what a client did wrong; and nothing is changed by it: no
# event, no file of the store, no line of the error log.
#
# SEED repeats a run.

use strict;
use warnings;

use Digest::SHA;
use Test::More;

use Analytics::Finder;
use Analytics::Log;
use Analytics::Test;

my $QUESTIONS = 10_000;
my $N         = 36_000;         # enough for a part of the store
my $LIST      = 1000;

my $seed = $ENV{SEED} // 20_260_101;

note "SEED=$seed";
srand $seed;

my $nginx = Analytics::Test->new(
    zone => '64m', path => 1, log => 'store on; counts 1s; sync off;',
    locations => <<'CONF',
        location / { return 404; }
CONF
)->start;
my $dir    = $nginx->dir . '/data';
my $finder = Analytics::Finder->new;
my @clients;


sub pick { return $_[rand @_] }

sub chance { return rand() < $_[0] }

sub parts { return grep { !m{/period-} } glob "$dir/*.db" }


# What was posted: many of the names are themselves attempts at something.

my @SQL = ("' OR '1'='1", "'; DROP TABLE rows; --", '" OR ""="', "ann'--",
    "ann' UNION SELECT * FROM users --", '%', '_', 'a%', "\\'", '`ann`',
    '1; ATTACH DATABASE \'x.db\' AS x', "x' AND randomblob(1e9) --", '$ne',
    '{"$gt":""}', '../../etc/passwd', '<script>alert(1)</script>', '?1', ':a',
    '@a', '*', 'NULL', 'rowid', 'ann&user_id=bob', 'a;b', 'a+b', 'a=b', '#');
my @ALIKE = ('ann', 'Ann', 'ann ', ' ann', "\xd0\xb0nn", "a\xcc\x8ann",
    "\xef\xbd\x81nn", "\xe2\x80\x8bann", "\xc3\xa9", "e\xcc\x81",
    "\xf0\x9f\x98\x80", "\xef\xbc\x87 OR 1=1");
my @NUMBERS = (0, 6, -5, 60, '06', '+6', '6.0', '1e3', '9007199254740992');
my @USERS   = (@SQL, @ALIKE, @NUMBERS, map { "user$_" } 1 .. 200);
my @TYPES   = ('login', 'Login', @SQL[0 .. 6], "\xd0\xb0nn");
my $EPOCH   = 1_700_000_000_000_000;

my @posted;

for (1 .. $N / $LIST) {
    my @lines;

    for (1 .. $LIST) {
        my ($user, $type) = (pick(@USERS), pick(@TYPES));
        my $time = $EPOCH + 500_000 * int rand 20_000;

        push @posted, [$user, $type, $time];
        push @lines, sprintf
            '{"user_id":%s,"event_type":%s,"timestamp":"%s"}',
            (map { Analytics::Finder::string($_) } $user, $type),
            Analytics::Finder::instant($time);
    }

    my $answer = $nginx->post('/events/', '[' . join(',', @lines) . ']');

    $answer->{status} == 201 or die "not taken: $answer->{body}\n";
}

ok wait_for(sub { $nginx->health->{store}{behind_events} < 32_768 }),
    'a part of the store is made';
my %counts;

Analytics::Log->read($dir, record => sub { }, event => sub {
    my ($id, $received) = @{ $_[0] }{qw(id received)};
    my ($user, $type, $time) = @{ $posted[$id - 1] };

    $finder->add($id, $user, $type, $time, $received, '');
    $counts{ int $received / 1e6 }{$user}++;
});

is $finder->count, $N, 'all events are in the log';

my ($last) = sort { $b <=> $a } keys %counts;

ok wait_for(sub {
    grep { /-0*(\d+)\.db$/ && $1 > $last } glob "$dir/period-*.db"
}), 'and all periods are counted';


sub state_of_all {
    my %state = map { $_ => Digest::SHA->new(256)->addfile($_)->hexdigest }
        parts();

    return { %state, total => $nginx->json('/stats/total'),
        users => $nginx->json('/stats/by-user?limit=1000') };
}

my $before = state_of_all();


# How names and values are put down.

sub encode {
    my ($text, $how) = @_;

    return $text =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger
        if $how < 6;
    return $text =~ s/(.)/sprintf '%%%02x', ord $1/gers if $how < 7;

    # no more than an address can hold

    return $text =~ s/([\x00-\x20\x7f#])/$1 eq ' ' ? '+'
        : sprintf '%%%02x', ord $1/ger;
}


sub junk {
    return join '', map { chr rand 256 } 1 .. 1 + rand 12;
}


sub random_name {
    return pick(
        (pick(@USERS)) x 8, pick(@SQL) . pick(@SQL), pick(@ALIKE), junk(),
        'x' x pick(254, 255, 256, 300), "ann\0", "\0ann", "\0", "\r\nX: y",
        "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "ann\xe2\x82",
        "\xf8\x88\x80\x80\x80", "\xef\xbf\xbf", pick(@NUMBERS) . pick('', 0),
        '-0', '-9007199254740993', '99999999999999999999', ' 6', '6 ');
}


sub random_number {
    return pick(1, 2, 10, 100, 1000, 0, 1001, 100_000, 100_001, -1, '+1',
        '1.0', '1e2', '0x10', '007', '00000000000000000000000000000005',
        '9223372036854775807', '9223372036854775808', '9' x 50, ' 1', '1 ',
        "1\0", 'one', "\xd9\xa1", "\xef\xbc\x91", '1;DROP TABLE rows', '--1');
}


sub random_time {
    my $usec = $EPOCH + 500_000 * int rand 20_000;
    my $text = Analytics::Finder::instant($usec);

    return $text if chance(0.4);

    return pick($text =~ s/Z$/+00:00/r, $text =~ s/Z$/-23:59/r,
        $text =~ s/T/ /r, lc $text, $text =~ s/Z$/+24:00/r,
        $text =~ s/Z$//r, $text . $text, $text =~ s/-/\xe2\x88\x92/r,
        $text =~ s/(:\d\d)Z/$1.5Z/r, $text =~ s/(:\d\d)Z/$1.Z/r,
        $text =~ s/(:\d\d)Z/$1.123456789012345678901Z/r,
        '0000-01-01T00:00:00Z', '9999-12-31T23:59:59.999999-23:59',
        '10000-01-01T00:00:00Z', '2023-02-29T00:00:00Z',
        '2024-02-29T24:00:00Z', '1969-12-31T23:59:59Z', '2023-11-14', 'now',
        "'now'", "$usec", '-1', "$text\0", "datetime('now')");
}


sub random_cursor {
    my $i  = int rand $finder->count;
    my @at = ($finder->{time}[$i], $finder->{id}[$i]);
    my $large = '9223372036854775807';

    return "$at[0]-$at[1]" if chance(0.4);

    return pick("$large-$at[1]", "$at[0]-$large", "$large-$large", '0-0',
        "$at[0]-0", "0-$at[1]", $at[0] + 1 . "-$at[1]", '9' x 30 . '-1',
        "$at[0]-" . '9' x 30, '-1-1', '1--1', "$at[0]", "$at[0]-",
        "-$at[1]", "$at[0]-$at[1]-1", "$at[0]-$at[1]' OR 1=1",
        "$at[0] $at[1]",
        "$at[0]\xe2\x88\x92$at[1]", "1e15-$at[1]", '9223372036854775808-1');
}


my %VALUE = (
    user_id    => \&random_name,
    event_type => sub { chance(0.6) ? pick(@TYPES) : random_name() },
    from       => \&random_time,
    to         => \&random_time,
    order      => sub { pick(('asc', 'desc') x 4, 'ASC', 'desc;', "asc\0",
        'desc, id', '', '1') },
    limit      => \&random_number,
    skip       => \&random_number,
    after      => \&random_cursor,
    format     => sub { pick(('ndjson', 'json', 'csv') x 4, 'xml', 'CSV',
        'json ', '../csv', '') },
);

my %KNOWS = (
    '/events/'             => [qw(user_id event_type from to order limit skip
                                  after)],
    '/api/events'          => [qw(user_id event_type from to order limit skip
                                  after)],
    '/events/export'       => [qw(user_id event_type from to order format)],
    '/api/activity-counts' => [qw(user_id from to)],
);


# A string of parameters; most of them good, or there would be no answers.

sub random_args {
    my ($route) = @_;

    # all events there are are not asked for often

    my $user  = $route =~ /api|export/ ? 0.95 : 0.7;
    my @names = grep { chance($_ eq 'user_id' ? $user : 0.2) }
        @{ $KNOWS{$route} };
    my @args;

    for my $name (@names) {
        my $value = $VALUE{$name}->();

        # mostly what can be

        for (1 .. 3) {
            last if defined understood($route, $name, $value);
            $value = $VALUE{$name}->();
        }

        push @args, encode($name, chance(0.95) ? 0 : 6) . '='
            . encode($value, int rand 10);
    }

    push @args, 'user_id=' . encode(random_name(), 0) if chance(0.02);
    push @args, pick(@args, 'order=asc') if @args && chance(0.02);
    push @args, pick('=', '=x', 'user_id', 'user_id=', '', '&', 'a', '%',
        '%4', '%zz=1', '%00=1', 'user%5Fid=ann', 'User_id=ann', 'user_id%00=ann',
        'user_id[]=ann', "u\xd1\x95er_id=ann",
        'user_id=%u0061', 'user_id=%', 'limit=%31%30', 'x=' . 'y' x 3000,
        'user_id==ann', 'order=desc;limit=1', '&&&', 'amp;limit=1',
        encode(junk(), 0), encode(junk(), 9))
        if chance(0.1);

    @args = reverse @args if chance(0.3);

    my $args = join '&', @args;

    $args =~ s/&/pick(';', '&amp;', '&&', '%26', '&')/e if chance(0.05);
    $args = 'user_id=' . 'y' x 40_000 if chance(0.002);

    # what an address cannot hold is taken out, but for some

    $args =~ s/[\x00-\x20\x7f#]//g;
    substr $args, rand 1 + length $args, 0, pick("\0", "\x01", "\x7f", ' ',
        '#', "\t") if chance(0.01);

    return $args;
}


# The same string, read by a reader of its own from what docs/directives.md
# says.  Returns what is asked, 0 if that must be refused, undef if the string
# is none or its meaning is not told.

sub parse {
    my ($route, $args) = @_;

    return undef if $args =~ /[\x00-\x20\x7f#]/ || length $args > 7000;

    my (%q, %seen, $wrong);

    for my $arg (grep { length } split /&/, $args) {
        my ($name, $value) = split /=/, $arg, 2;

        for ($name, $value //= '') {
            return 0 if /%(?![0-9A-Fa-f]{2})/;
            tr/+/ /;
            s/%(..)/chr hex $1/ge;
        }

        return 0 unless grep { $_ eq $name } @{ $KNOWS{$route} };
        return undef if $seen{$name}++ && !(length $value
            && defined $q{$name});
        return 0 if defined $q{$name};
        next unless length $value;

        $q{$name} = understood($route, $name, $value) // return 0;
    }

    return 0 if defined $q{from} && defined $q{to} && $q{from} > $q{to};
    return 0 if defined $q{skip} && defined $q{after};

    return \%q;
}


sub understood {
    my ($route, $name, $value) = @_;

    return undef if !length $value;

    if ($name eq 'user_id' || $name eq 'event_type') {
        return undef if $name eq 'user_id' && $route =~ /^\/api/
            && !Analytics::Finder::is_integer($value);
        return length $value <= 255 && is_utf8($value) ? $value : undef;
    }

    return instant_of($value) if $name eq 'from' || $name eq 'to';
    return within($value, 1, 1000) if $name eq 'limit';
    return within($value, 0, 100_000) if $name eq 'skip';
    return $value =~ /\A(?:asc|desc)\z/ ? $value : undef if $name eq 'order';
    return $value =~ /\A(?:ndjson|json|csv)\z/ ? $value : undef
        if $name eq 'format';

    my ($time, $id) = $value =~ /\A([0-9]+)-([0-9]+)\z/ or return undef;

    for ($time, $id) {
        $_ = within($_, 0, 9_223_372_036_854_775_807) // return undef;
    }

    return [$time, $id];
}


sub within {
    my ($text, $low, $high) = @_;

    # what has 19 digits Perl counts with exactly

    return undef unless $text =~ /\A0*([0-9]{1,19})\z/;

    my $n = $1 + 0;

    return $n >= $low && $n <= $high ? $n : undef;
}


# RFC 3629

sub is_utf8 {
    return $_[0] =~ /\A(?: [\x00-\x7f]
        | [\xc2-\xdf][\x80-\xbf]
        | \xe0[\xa0-\xbf][\x80-\xbf]
        | [\xe1-\xec\xee\xef][\x80-\xbf]{2}
        | \xed[\x80-\x9f][\x80-\xbf]
        | \xf0[\x90-\xbf][\x80-\xbf]{2}
        | [\xf1-\xf3][\x80-\xbf]{3}
        | \xf4[\x80-\x8f][\x80-\xbf]{2} )*\z/x;
}


# RFC 3339; a plus sign may have become a space.

sub instant_of {
    my ($text) = @_;

    substr($text, 12) =~ tr/ /+/ if length $text > 12;

    my ($year, $month, $day, $hour, $min, $sec, $more, $sign, $oh, $om) =
        $text =~ /\A(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)
            (?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))\z/xa or return undef;

    my @days = (31, $year % 4 || !($year % 100) && $year % 400 ? 28 : 29,
        31, 30, 31, 30, 31, 31, 30, 31, 30, 31);

    return undef if $month < 1 || $month > 12 || $day < 1
        || $day > $days[$month - 1] || $hour > 23 || $min > 59 || $sec > 59
        || ($oh // 0) > 23 || ($om // 0) > 59;

    # days since the year 0: leap years, years, months, days

    my $days = $day - 719_529 + 365 * $year + ($year ? 1 : 0);
    my $past = $year ? $year - 1 : 0;

    $days += int($past / 4) - int($past / 100) + int($past / 400);
    $days += $_ for @days[0 .. $month - 2];

    my $offset = ($oh // 0) * 3600 + ($om // 0) * 60;

    $offset = -$offset if ($sign // '') eq '-';

    $sec += ($days * 24 + $hour) * 3600 + $min * 60 - $offset;

    # it is of these years in UTC, too

    return undef if $sec < -62_167_219_200 || $sec >= 253_402_300_800;

    return 1_000_000 * $sec + substr(($more // '') . '000000', 0, 6);
}


# What is asked, answered.  Returns text, and whether there is more.

sub answer {
    my ($route, $q) = @_;

    return counts($q) if $route eq '/api/activity-counts';

    my ($found, $more) = $finder->find(%$q, user => $q->{user_id},
        type => $q->{event_type},
        by => $route eq '/api/events' ? 'received' : 'time',
        limit => $q->{limit} // ($route eq '/events/' ? 100 : undef));

    if ($route eq '/events/export') {
        my $format = $q->{format} // 'ndjson';

        return join ',', map { $finder->{id}[$_] } @$found
            if $format eq 'csv';

        my @rows = map { $finder->row($_, 'event') } @$found;

        return $format eq 'json' ? '[' . join(',', map { "\n$_" } @rows)
            . "\n]\n" : join '', map { "$_\n" } @rows;
    }

    my $format = $route eq '/events/' ? 'event' : 'activity';

    return '[' . join(',', map { $finder->row($_, $format) } @$found) . ']',
        $more;
}


sub counts {
    my ($q) = @_;

    my @rows;

    for my $start (sort { $a <=> $b } keys %counts) {
        next if defined $q->{from} && $start * 1e6 < $q->{from}
            || defined $q->{to} && $start * 1e6 >= $q->{to};

        for my $user (sort keys %{ $counts{$start} }) {
            next if defined $q->{user_id} && $q->{user_id} ne $user;

            push @rows, sprintf '{"user_id":%s,"period_start":"%s",'
                . '"period_end":"%s","count":%d}',
                Analytics::Finder::is_integer($user) ? $user
                    : Analytics::Finder::string($user),
                (map { Analytics::Finder::instant($_ * 1e6) } $start,
                    $start + 1), $counts{$start}{$user};
        }
    }

    return '[' . join(',', @rows) . ']';
}


# Asks, on a connection of some that are kept.

sub request {
    my ($path) = @_;

    my $client = \$clients[rand 4];

    $$client //= $nginx->connect;

    my $answer = $$client->request(GET => $path) // die "$path: no answer\n";

    undef $$client if ($answer->header('Connection') // '') eq 'close'
        || $answer->{status} == 400 || $answer->{status} == 414;

    return $answer;
}


my %ALLOWED = map { $_ => 1 } 200, 400, 404, 414, 422;
my %done;


sub check {
    my ($route, $args) = @_;

    my $answer = request("$route?$args");
    my $q = parse($route, $args);

    $done{ $answer->{status} }++;

    die "$answer->{line}\n" unless $ALLOWED{ $answer->{status} };

    return only_of($answer, $args) unless defined $q;

    if (!$q) {
        die "$answer->{line}, it must be refused\n"
            if $answer->{status} != 422;
        die "nothing is named\n"
            unless $answer->json->{errors}[0]{detail};
        return;
    }

    for (my $pages = 0; ; $pages++) {
        die "$answer->{line} $answer->{body}\n" if $answer->{status} != 200;

        my ($expected, $more) = answer($route, $q);
        my $link = $answer->header('Link');
        my $body = $answer->{body};

        $body = join ',', map { /^(\d+),/ } split /\r\n/, $body
            if ($q->{format} // '') eq 'csv';

        die sprintf "%d bytes, not %d\n     got: %.300s\nexpected: %.300s\n",
            map({ length } $body, $expected), $body, $expected
            if $body ne $expected;
        die $more ? "no next page\n" : "a next page\n"
            if $more xor defined $link;

        last if !$more || $pages;

        # the next one, as a client finds it: no byte in it would end it

        my ($next) =
            $link =~ /^<([\x21\x23-\x3b\x3d\x3f-\x7e]+)>; rel="next"$/
            or die "Link: $link\n";
        my ($cursor) = $next =~ /[?&]after=([^&]*)$/ or die "Link: $link\n";

        $answer = request($next);
        $q = { %$q, after => understood($route, 'after', $cursor) };
        delete $q->{skip};
        $done{followed}++;
    }

    $done{questions}++;
}


# Who asks for some user gets nothing of another one, whatever else there is.

sub only_of {
    my ($answer, $args) = @_;

    $done{unclear}++;

    return if $answer->{status} != 200;

    my %asked = map { tr/+/ /; s/%(..)/chr hex $1/ger => 1 }
        $args =~ /(?:^|&)user_id=([^&#\s]+)/g or return;
    my @rows = $answer->{body} =~ /"user_id":(-?\d+|"(?:[^"\\]|\\.)*")/g;

    for (@rows) {
        my $user = /^"/ ? data($_) : $_;

        utf8::encode($user);
        die "a row of $user\n" unless $asked{$user};
    }
}


# A user's name in the path.

sub check_user {
    my $name   = random_name();
    my $raw    = chance(0.1);
    my $answer = request('/stats/user-activity/' . ($raw
        ? $name =~ s/[\x00-\x20\x7f]//gr : encode($name, 0)));

    $done{ $answer->{status} }++;

    die "$answer->{line}\n" unless $ALLOWED{ $answer->{status} };

    # in a path, nginx resolves these

    return if $raw || $name =~ m{\0|(?:^|/)\.\.?(?:/|$)};

    my ($found) = $finder->find(user => $name);

    die "$answer->{line}\n" if @$found ? $answer->{status} != 200
        : $answer->{status} != 404 && $answer->{status} != 422;

    return if !@$found;

    my $user = $answer->json;

    utf8::encode($user->{user_id});

    die "$user->{user_id}, with $user->{total_events} events\n"
        if $user->{user_id} ne $name || $user->{total_events} != @$found;
}


my @wrong;

for (1 .. $QUESTIONS) {
    my $route = pick(('/events/') x 3, ('/api/events') x 2, '/events/export',
        '/api/activity-counts', 'user');

    my $args = $route eq 'user' ? '' : random_args($route);

    eval { $route eq 'user' ? check_user() : check($route, $args); 1 }
        or push @wrong, sprintf '%s?%.300s: %s', $route, $args, $@;

    last if @wrong > 4;
}

is scalar @wrong, 0, "$QUESTIONS hostile questions" or diag join "\n", @wrong;

note join ', ', map { "$_: $done{$_}" } sort keys %done;

cmp_ok $done{questions}, '>', $QUESTIONS / 4, 'many of them are questions';
cmp_ok $done{422}, '>', $QUESTIONS / 10, 'many are refused';
cmp_ok $done{followed}, '>', 100, 'many go on';


subtest 'the next page is of the same host, and of the same question' => sub {
    for (
        ['//evil.example/../events/?limit=2', '/evil.example/../events/?'],
        ['///evil.example/..//events/?limit=2',
            '/evil.example/..//events/?'],
        ["/\xc3\xa9<>/../events/?&&limit=2&%61fter=0-0&",
            '/%C3%A9%3C%3E/../events/?'],
        ['/events/?%73kip=1&order=desc&limit=2', '/events/?'],
        ['/events/?skip=&after=&&limit=2', '/events/?'],
    ) {
        my ($path, $begins) = @$_;

        my $link = $nginx->get($path)->header('Link') // '';
        my ($next) = $link =~ /^<(\Q$begins\E[^<>]*)>/;

        ok $next, $path =~ s/[^ -~]/?/gr or diag $link;
        is $nginx->get($next // '/')->{status}, 200, 'and it is there';
    }
};


is_json state_of_all(), $before, 'nothing is changed';

for my $part (parts()) {
    SKIP: {
        skip 'there is no program sqlite3', 1 unless -x '/usr/bin/sqlite3';

        is `sqlite3 -readonly '$part' 'PRAGMA integrity_check'`, "ok\n",
            'the store is intact';
    }
}

my $log = Analytics::Log->read($dir);

is scalar @{ $log->{events} }, $N, 'and so is the log';
is_deeply $log->{malformed}, [], 'in which nothing is malformed';

# nginx itself tells of a request that is none as it came

my @lines = grep { !/client sent invalid request/ }
    split /\n/, $nginx->error_log;

is_deeply [grep { /[\x00-\x08\x0b-\x1f\x7f]/ } @lines], [],
    'no control byte is in the error log';
is_deeply [grep { /\[(?:alert|crit|emerg|error|warn)\]/ } @lines], [],
    'and nothing that is to be looked after';

$_ && $_->close for @clients;
$nginx->stop;
done_testing;
