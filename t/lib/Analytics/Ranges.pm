package Analytics::Ranges;

# Copyright (C) The nginx analytics authors

# Metrics, asked for by ranges and intervals, and compared with what
# Analytics::Figures counts.
#
#     my $ranges = Analytics::Ranges->new(nginx => $nginx,
#         figures => $figures, metrics => {
#             logins => [ 'count type=login',
#                 { kind => 'count', types => ['login'] } ] });
#
#     post($nginx, @events);
#     my @wrong = $ranges->compare('logins', 'day', $from, $to);
#
# Of a metric there is what stands behind its name in the configuration, and
# what it is for Analytics::Figures; there, exact => 1 means that it is of
# days and no estimate then.

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP ();
use List::Util qw(sum0);
use POSIX qw(strftime);

our @EXPORT = qw(instant metric_lines pick post);

my $json = JSON::PP->new->canonical->utf8;


sub new {
    my ($class, %arg) = @_;

    return bless { %arg }, $class;
}


sub pick { return $_[ rand @_ ] }


# Metrics as they stand in the configuration.

sub metric_lines {
    my ($metrics) = @_;

    return join '', map { "metric $_ $metrics->{$_}[0];\n" }
        sort keys %$metrics;
}


sub instant {
    my ($usec) = @_;

    return strftime('%Y-%m-%dT%H:%M:%S', gmtime int($usec / 1_000_000))
        . sprintf('.%06dZ', $usec % 1_000_000);
}


# Events, as Analytics::Figures has them, to a location of the format "event".

sub post {
    my ($nginx, @events) = @_;

    while (my @some = splice @events, 0, 1000) {
        my $answer = $nginx->post('/events/', $json->encode([ map { {
            user_id => $_->{user}, event_type => $_->{type},
            timestamp => instant($_->{time}), metadata => $_->{properties},
        } } @some ]));

        $answer->{status} == 201 or die "$answer->{line} $answer->{body}\n";
    }
}


# Whether a value is what it has to be: of what kind it is.

sub same {
    my ($kind, $got, $expected) = @_;

    return !defined $got && !defined $expected
        if !defined $got || !defined $expected;

    # a bin's error, and five of the standard errors of distinct values; of a
    # few of them, two or three may fall together

    return abs($got - $expected) <= 0.0101 * $expected if $kind =~ /^p/;
    return abs($got - $expected) <= 5 * 0.0163 * $expected + 3
        if $kind eq 'unique';
    return abs($got - $expected) <= 1e-9 * (abs($expected) + 1);
}


# Asks for a range by an interval, and compares all of it.  Returns what is
# wrong.

sub compare {
    my ($self, $name, $interval, $from, $to, $group) = @_;

    my $figures = $self->{figures};
    my $metric  = { %{ $self->{metrics}{$name}[1] } };
    my $kind    = $metric->{exact} ? 'count' : $metric->{kind};
    my $path    = sprintf '/metrics/%s?interval=%s&start=%s&end=%s', $name,
        $interval, map { instant($_ * 1_000_000) } $from, $to;

    if (defined $group) {
        $path .= '&group=' . join '', map { sprintf '%%%02x', ord }
            split //, do { my $s = $group; utf8::encode($s); $s };
    }

    my $answer = $self->{nginx}->get($path);

    return "$path: $answer->{line}" if $answer->{status} != 200;

    my $told = $answer->json;
    my @at   = $figures->buckets($interval, $from, $to);
    my @wrong;

    my $check = sub {
        my ($series, $which) = @_;

        push @wrong, "$path: $which: " . @{ $series->{series} } . ' buckets'
            if @{ $series->{series} } != $#at;

        my ($total, @values) = $figures->series($metric, @at);

        for my $i (0 .. $#at - 1) {
            my $got      = $series->{series}[$i]{value};
            my $expected = $values[$i];

            push @wrong, sprintf '%s: %s: %s: %s, not %s', $path, $which,
                $series->{series}[$i]{time}, $got // 'null',
                $expected // 'null'
                unless same($kind, $got, $expected);
        }

        push @wrong, sprintf '%s: %s: %s in all, not %s', $path, $which,
            $series->{total} // 'null', $total // 'null'
            unless same($kind, $series->{total}, $total);
    };

    $check->($told, 'all');

    for my $one (@{ $told->{groups} // [] }) {
        $metric->{group} = $one->{group};
        $check->($one, $one->{group});
    }

    return @wrong;
}


# Some buckets of an interval, of a longer range.

sub random_range {
    my ($self, $interval, $first, $last) = @_;

    my @at   = $self->{figures}->buckets($interval, $first, $last);
    my $n    = $interval =~ /hour/ ? 60 : 20;
    my $from = int rand(@at - 1);
    my $to   = $from + 1 + int rand $n;

    $to = $#at if $to > $#at;

    return @at[$from, $to];
}


# Of counts and sums, days have to be what their hours are, and all of it what
# the days are.

sub adds_up {
    my ($self, $name, $from, $to) = @_;

    my %told = map {
        my $path = sprintf '/metrics/%s?interval=%s&start=%s&end=%s', $name,
            $_, map { instant($_ * 1_000_000) } $from, $to;

        $_ => $self->{nginx}->json($path);
    } qw(day hour);

    my @at   = $self->{figures}->buckets('day', $from, $to);
    my @hour = map { $_->{value} } @{ $told{hour}{series} };
    my @wrong;

    my $is = sub {
        my ($what, $sum, $whole) = @_;

        push @wrong, "$name from $from to $to: $what: $sum, not $whole"
            if abs($sum - $whole) > 1e-9 * (abs($whole) + 1);
    };

    for my $i (0 .. $#at - 1) {
        my @of = splice @hour, 0, ($at[$i + 1] - $at[$i]) / 3600;

        $is->("hours of day $i", sum0(@of), $told{day}{series}[$i]{value});
    }

    $is->('days', sum0(map { $_->{value} } @{ $told{day}{series} }),
        $told{day}{total});
    $is->('by hour', $told{hour}{total}, $told{day}{total});

    $is->('groups', sum0(map { $_->{total} } @{ $_->{groups} }), $_->{total})
        for grep { $_->{groups} } values %told;

    return @wrong;
}


# So many ranges of days, of any metric: counts and sums add up, and all are
# what they have to be.

sub random {
    my ($self, $n, $first, $last) = @_;

    my @names = sort keys %{ $self->{metrics} };
    my @wrong;

    while ($n-- > 0 && @wrong < 6) {
        my $name  = $names[ rand @names ];
        my @range = $self->random_range('day', $first, $last);

        push @wrong, $self->compare($name, 'day', @range);
        push @wrong, $self->adds_up($name, @range)
            if $self->{metrics}{$name}[1]{kind} =~ /^(?:count|sum)$/;
    }

    return @wrong;
}


# As many ranges of metrics, at random.

sub compare_many {
    my ($self, $n, $first, $last, @intervals) = @_;

    my $metrics = $self->{metrics};
    my @wrong;

    for (1 .. $n) {
        my $interval = pick(@intervals);
        my $name     = pick(sort keys %$metrics);
        my $kind     = $metrics->{$name}[1]{kind};

        # by hour, sketches are kept for 90 days, and these are of the past;
        # what is of users is by day

        next if $interval eq 'hour'
            && $kind =~ /^(?:p|unique|session|users|new_users)/;

        push @wrong, $self->compare($name, $interval,
            $self->random_range($interval, $first, $last));

        last if @wrong > 5;
    }

    return @wrong;
}


1;
