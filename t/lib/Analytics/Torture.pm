package Analytics::Torture;

# Copyright (C) The nginx analytics authors

# An nginx whose zone has a log, to be treated badly; and the accounts that
# are settled afterwards: what clients had acknowledged, what the log holds
# (as Analytics::Log reads it, and the tool that comes with the module), and
# what the API answers.
#
#     my $nginx  = Analytics::Torture->new->start;
#     my $sender = $nginx->sender(clients => 4)->start;
#     ...
#     $sender->stop;
#     $nginx->settle('after that', $sender);
#     $nginx->stop;
#
# It is an Analytics::Test; log lines that killed processes bring about are
# expected.  With ANALYTICS_TORTURE set tests run at length.  ANALYTICS_LOG
# names the tool, by default the one that `make` builds.

use strict;
use warnings;

use parent -norequire, 'Analytics::Test';

use Carp qw(croak);
use IO::Socket::INET;
use List::Util qw(max min);
use Test::More ();
use Time::HiRes qw(sleep time);

use Analytics::Log;
use Analytics::Oracle;
use Analytics::Sender;
use Analytics::Test qw(wait_for is_json);

our @EXPORT = qw(long disarm);

my $TOOL = $ENV{ANALYTICS_LOG}
    || Analytics::Test::root_dir() . '/build/analytics-log';

# Nothing may take long when the server is broken.
$Analytics::Client::TIMEOUT = long() ? 120 : 60 unless $ENV{ANALYTICS_TIMEOUT};
$SIG{ALRM} = sub {
    print STDERR "this takes too long\n";
    exit 255;                   # to die might be caught
};
alarm(long() ? 7200 : 3600);

my @KILLED = (
    qr/\[alert\].*exited on signal 9/,
    qr/\[alert\].*zone .* was locked by/,
    qr/\[warn\].*no whole record and were cut off/,
);


sub long {
    return $ENV{ANALYTICS_TORTURE} ? 1 : 0;
}


sub new {
    my ($class, %arg) = @_;

    my $self = Analytics::Test::new($class, path => 1,
        log => 'segment 256k; checkpoint size=1m time=1s;', listen => 'reuseport',
        %arg);

    return $self->expect_log(@KILLED);
}


sub data { return $_[0]->dir . '/data' }


# A worker was to die some steps later (X-Analytics-Fault), and was not needed
# any more: what is left of the steps is not for others.

sub disarm {
    my ($nginx) = @_;

    wait_for(sub {
        eval {
            $nginx->post('/events/', '{"user_id":"a","event_type":"b"}',
                headers => ['X-Analytics-Fault: 0'])->{status} == 201;
        };
    }) or die "no worker lives\n";
}


# A port that no connection is given by the system, so that nobody takes it
# while nginx is down.

sub choose_port {
    for (1 .. 100) {
        my $port = 12000 + int rand 20000;

        return $port if IO::Socket::INET->new(Listen => 1,
            LocalAddr => '127.0.0.1', LocalPort => $port);
    }

    die "no free port\n";
}


sub start {
    my ($self) = @_;

    for (1 .. 5) {
        $self->{port} = choose_port();
        $self->configure;

        return $self if $self->try_start;

        last unless $self->error_log =~ /Address already in use/;
    }

    croak "nginx did not start:\n" . $self->error_log . $self->stderr_log;
}


sub configure {
    my ($self, %set) = @_;

    $self->set(%set);
    $self->write_config;

    return $self;
}


# Starts it again where it was, with what it left.

sub restart {
    my ($self) = @_;

    $self->try_start or croak "nginx did not start again:\n"
        . substr($self->error_log, -4000) . $self->stderr_log;

    return $self;
}


# Kills the master and all workers at the same moment.

sub kill_at_once {
    my ($self) = @_;

    $self->kill_all;

    return $self;
}


sub sender {
    my ($self, %arg) = @_;

    return Analytics::Sender->new(dir => $self->dir . '/sent',
        port => $self->port, ids => $self->{id}, %arg);
}


sub log {
    my ($self, %arg) = @_;

    return Analytics::Log->read($arg{data} // $self->data, %arg);
}


# Waits until nothing more is folded: somebody's list may still be under way
# when nobody waits for it any more.

sub quiet {
    my ($self) = @_;

    my ($last, $same) = (-1, 0);

    return wait_for(sub {
        my $answer = eval { $self->get('/stats/total') } or return 0;

        return 0 unless $answer->{status} == 200;

        my $total = $answer->json->{total_events};

        $same = $total == $last ? $same + 1 : 0;
        $last = $total;

        # about 0.1 s
        return $same > 10;
    });
}


# Waits until so many more events are counted, in spite of everything that
# happens to the server meanwhile.

sub more {
    my ($self, $n) = @_;

    my $from;

    return wait_for(sub {
        my $answer = eval { $self->get('/stats/total') } or return 0;

        return 0 unless $answer->{status} == 200;

        my $total = $answer->json->{total_events};

        $from //= $total;

        return $total >= $from + $n;
    });
}


# Whether questions include what was acknowledged just before, whoever they
# come to.  Returns how many did; events are of the type "own".

sub own_writes {
    my ($self, $times) = @_;

    my ($name, $seen) = ('own ' . ++$self->{own_writes}, 0);

    for my $n (1 .. $times) {
        my $posted = $self->post('/events/',
            "{\"user_id\":\"$name\",\"event_type\":\"own\"}");

        $posted->{status} == 201 or next;

        my $path = $name =~ s/ /%20/r;
        my $got;

        # while it recovers it does not say: but then it does

        wait_for(sub {
            $got = $self->get("/stats/user-activity/$path");

            return $got->{status} != 503;
        });

        $seen++ if $got->{status} == 200
            && $got->json->{total_events} == $n;
    }

    return $seen;
}


# The accounts.  Options:
#     refusals 1: requests may have been refused, with 503 and Retry-After
#     gaps     1: numbers may have been skipped, after a power cut
#     others   sub { ($event) }: whether it is not of a sender
#     damage   1: the log may be damaged
#     lost     sub { ($client, $n, ...) }: whether a request that was
#              acknowledged may have been lost again
#     data     another folder than our own

sub settle {
    my ($self, $name, @senders) = @_;

    my %option = @senders && ref $senders[-1] eq 'HASH' ? %{ pop @senders } : ();

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return Test::More::subtest($name => sub {
        Test::More::ok($self->quiet, 'it comes to rest');

        my $account = $self->account(\@senders, %option);

        for my $wrong (sort keys %{ $account->{wrong} }) {
            my @list = @{ $account->{wrong}{$wrong} };

            Test::More::ok(!@list, $wrong) or Test::More::diag(join "\n",
                scalar(@list) . ' times:',
                @list[0 .. min(9, $#list)]);
        }

        $self->compare_tool($account, %option) if -x $TOOL;
        $self->compare_api($account, %option);

        Test::More::note("$account->{events} events, ",
            "$account->{accepted} requests acknowledged, $account->{lost} lost, ",
            "$account->{refused} refused");
    });
}


# Reads the log and compares it with what was sent.

sub account {
    my ($self, $senders, %option) = @_;

    my (%sender, %found, @lines);
    my $oracle  = Analytics::Oracle->new;
    my $next    = 1;
    my %account = (oracle => $oracle, events => 0, lines => \@lines, wrong => {
        map { $_ => [] } 'the log is whole', 'numbers go up by one',
            'each event is one that was sent', 'and is what was sent',
            'what was acknowledged is there, by its number',
            'what was refused is not there', 'no client saw anything else',
            'bodies are taken as a whole or not at all',
            'no number was given twice',
    }, owner => {});

    $account{$_} = 0 for qw(accepted refused lost);

    for my $sender (@$senders) {
        $sender{$_} = $sender for $sender->numbers;
    }

    my $log = Analytics::Log->read($option{data} // $self->data,
        event => sub {
            my ($event) = @_;

            $account{events}++;
            _count($oracle, $event);
            push @lines, _line($event);

            push @{ $account{wrong}{'numbers go up by one'} },
                "$event->{id} where $next was to come"
                if $option{gaps} ? $event->{id} < $next
                    : $event->{id} != $next;

            $next = $event->{id} + 1;

            _recognize(\%account, \%sender, \%found, $event) if @$senders
                && $event->{type} ne 'own' && !$event->{erased}
                && !($option{others} && $option{others}->($event));
        });

    $account{log} = $log;

    push @{ $account{wrong}{'the log is whole'} },
        $option{damage} ? () : (map {
            "$_->{file}, bytes $_->{from} to $_->{to}: $_->{why}"
        } @{ $log->{damage} }), @{ $log->{malformed} };

    _requests(\%account, $_, \%found, %option) for @$senders;

    return \%account;
}


sub _count {
    my ($oracle, $event) = @_;

    my ($user, $type) = @$event{qw(user type)};

    utf8::decode($user);
    utf8::decode($type);

    $oracle->{total}++;
    $oracle->add({ user => $event->{erased} ? undef : $user, type => $type,
        time => ($event->{time} // $event->{received}) / 1000000 });
}


# Which event of which request it is, and whether it is that.

sub _recognize {
    my ($account, $sender, $found, $event) = @_;

    my ($client, $n, $i) = Analytics::Sender::number($event->{properties});

    if (!defined $i || !$sender->{$client}) {
        push @{ $account->{wrong}{'each event is one that was sent'} },
            "$event->{id}: $event->{properties}";
        return;
    }

    my $pad  = $event->{properties} =~ /"pad":"(x*)"/ ? length $1 : 0;
    my $sent = $sender->{$client}->event($client, $n, $i, $pad);

    for my $member (qw(user type time properties own)) {
        my ($is, $was) = ($event->{$member} // '', $sent->{$member} // '');

        push @{ $account->{wrong}{'and is what was sent'} },
            "$event->{id}, $client-$n-$i: $member is '$is', not '$was'"
            if $is ne $was;
    }

    $found->{$client}{$n} .= pack 'V Q', $i, $event->{id};
    $account->{owner}{ $event->{id} } = "$client-$n";
}


# Each request against what was found of it.

sub _requests {
    my ($account, $sender, $found, %option) = @_;

    my ($told, $wrong) = $sender->told;

    push @{ $account->{wrong}{'no client saw anything else'} }, @$wrong;

    for my $client ($sender->numbers) {
        for my $n (sort { $a <=> $b } keys %{ $told->{$client} }) {
            my @found = unpack '(V Q)*', delete $found->{$client}{$n} // '';

            _request($account, $sender, $client, $n, $told->{$client}{$n},
                \@found, %option);
        }

        push @{ $account->{wrong}{'each event is one that was sent'} },
            map { "request $client-$_ was never sent" }
                keys %{ $found->{$client} };
    }
}


sub _request {
    my ($account, $sender, $client, $n, $r, $found, %option) = @_;

    my $what  = "request $client-$n";
    my $count = $sender->count($client, $n);
    my @ids   = map { $found->[ $_ * 2 + 1 ] } 0 .. @$found / 2 - 1;
    my $order = join ',', map { $found->[ $_ * 2 ] } 0 .. $#ids;

    $account->{ $r->{state} =~ /^(accepted|refused)$/ ? $1 : 'lost' }++;

    my $whole = $sender->whole($client, $n);

    # the first of its events, each once, in their order; where power was cut
    # those of a long list that nobody had acknowledged may have holes

    push @{ $account->{wrong}{'each event is one that was sent'} },
        "$what: events $order" if $order ne join ',', 0 .. $#ids
            and !$option{damage} || $whole || !_rising(split /,/, $order);

    push @{ $account->{wrong}{'bodies are taken as a whole or not at all'} },
        "$what ($r->{state}): " . @ids . " of $count"
        if $whole && @ids && @ids != $count;
    push @{ $account->{wrong}{'bodies are taken as a whole or not at all'} },
        "$what: numbers $ids[0] to $ids[-1]"
        if $whole && @ids && $ids[-1] - $ids[0] != $#ids;

    if ($r->{state} eq 'accepted') {

        # also those that were lost later had their numbers

        for my $id ($whole ? $r->{first} .. $r->{last} : @$r{qw(first last)}) {
            my $owner = $account->{owner}{$id} //= "$client-$n";

            push @{ $account->{wrong}{'no number was given twice'} },
                "$id is of request $owner, and of $client-$n"
                if $owner ne "$client-$n";
        }

        return if (!@ids || !$whole && @ids < $count) && $option{lost}
            && $option{lost}->($client, $n, $r, \@ids);

        push @{ $account->{wrong}{
            'what was acknowledged is there, by its number'} },
            "$what: acknowledged as $r->{first} to $r->{last} ($r->{count}), is "
                . (@ids ? "$ids[0] to $ids[-1] (" . @ids . ')' : 'not there')
            if $r->{count} != $count || @ids != $count
                || $r->{first} != $ids[0] || $r->{last} != $ids[-1];

    } elsif ($r->{state} eq 'refused') {
        push @{ $account->{wrong}{'what was refused is not there'} },
            "$what: $r->{status}, " . @ids . " events, not $r->{count}"
            if @ids != $r->{count};
        push @{ $account->{wrong}{'no client saw anything else'} },
            "$what: $r->{status}" . ($r->{retry} ? '' : ' without Retry-After')
            unless $r->{status} == 503 && $r->{retry} && $option{refusals};

    } elsif ($r->{state} eq 'part' && @ids) {
        push @{ $account->{wrong}{'each event is one that was sent'} },
            "$what: it was never sent in full";
    }
}


sub _rising {
    my (@numbers) = @_;

    return !grep { $numbers[$_] <= $numbers[$_ - 1] } 1 .. $#numbers;
}


# An event as a line of JSON, as the tool prints it.

sub _line {
    my ($event) = @_;

    return join(',', "{\"id\":$event->{id}",
        '"user":' . ($event->{erased} ? 'null' : _text($event->{user})),
        '"type":' . _text($event->{type}),
        '"time":' . _instant($event->{time} // $event->{received}),
        '"received":' . _instant($event->{received}),
        defined $event->{own} ? '"event_id":' . _text($event->{own}) : (),
        length $event->{properties} ? "\"properties\":$event->{properties}"
            : ()) . '}';
}


sub _text {
    my ($text) = @_;

    $text =~ s/(["\\])/\\$1/g;
    $text =~ s/([\0-\x1f])/sprintf '\u%04x', ord $1/ge;

    return "\"$text\"";
}


# With as many of 0, 3 or 6 digits as needed.

sub _instant {
    my ($time) = @_;

    my $part = $time % 1000000;

    return '"' . POSIX::strftime('%Y-%m-%dT%H:%M:%S',
        gmtime(($time - $part) / 1000000))
        . ($part == 0 ? '' : $part % 1000 == 0
            ? sprintf '.%03d', $part / 1000 : sprintf '.%06d', $part) . 'Z"';
}


sub compare_tool {
    my ($self, $account, %option) = @_;

    my $dir = $option{data} // $self->data;

    # what it says of damage that is expected is of no interest

    open my $from, '-|:raw', 'sh', '-c',
        'exec "$0" "$1"' . ($option{damage} ? ' 2> /dev/null' : ''),
        $TOOL, $dir or die "$TOOL: $!\n";

    my ($n, @wrong) = (0);

    while (my $line = <$from>) {
        chomp $line;

        my $want = $account->{lines}[$n++] // 'nothing';

        push @wrong, "line $n: $line\nnot: $want"
            if $line ne $want && @wrong < 5;
    }

    close $from;

    push @wrong, "$n lines, not $account->{events}"
        if $n != $account->{events};

    Test::More::ok(!@wrong, 'the tool that reads the log reads the same')
        or Test::More::diag(join "\n", @wrong);
}


# What the API answers is what the log holds, counted one by one.

sub compare_api {
    my ($self, $account, %option) = @_;

    my $oracle = $account->{oracle};
    my $nginx  = $option{nginx} // $self;

    is_json $nginx->json('/stats/total'), $oracle->total,
        "$account->{events} events, the totals";
    is_json $nginx->json('/stats/by-event-type'), $oracle->by_type, 'by type';
    is_json $nginx->json('/stats/by-user?limit=1000'), $oracle->by_user(1000),
        'by user';

    return unless $account->{events};

    my ($first, $last) = (sort { $a <=> $b } keys %{ $oracle->{days} })[0, -1];
    my $days = 'start=' . Analytics::Oracle::date($first) . '&end='
        . Analytics::Oracle::date($last);

    is_json $nginx->json("/stats/over-time?$days"),
        $oracle->over_time(day => $first, $last), 'day by day';
    is_json $nginx->json("/stats/over-time?$days&interval=hour"),
        $oracle->over_time(hour => $first * 24, $last * 24 + 23),
        'hour by hour';

    for my $user (map { $_->{user_id} } @{ $oracle->by_user(2) }) {
        my $path = $user;

        utf8::encode($path);
        $path =~ s/([^A-Za-z0-9])/sprintf '%%%02x', ord $1/ge;

        my $got  = $nginx->json("/stats/user-activity/$path");
        my $want = $oracle->user($user);

        # times have more digits than seconds there
        delete @{$_}{qw(first_event_at last_event_at)} for $got, $want;

        is_json $got, $want, 'one user';
    }

    my $health = $nginx->health;

    is_json [ @$health{qw(events exact)} ],
        "[$account->{events},true]", 'all of it is exact';
}


1;
