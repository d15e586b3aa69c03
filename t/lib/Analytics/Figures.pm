package Analytics::Figures;

# Copyright (C) The nginx analytics authors

# Figures over time, computed again from all events: what metrics say is
# compared with this.  Days and hours are those of the C library's own clock.
#
#     my $figures = Analytics::Figures->new('Europe/Berlin');
#
#     $figures->add({ user => 'u', type => 't', time => microseconds,
#         properties => { ... } });
#
#     my @buckets = $figures->buckets('day', $from, $to);   # seconds
#     my $value = $figures->value($metric, $from, $to);
#
# A metric is { kind, types => [...], field => sub, by => sub, where => sub }:
# what is there of an event, or undef; with group => NAME, of that one alone.
#
# Sessions depend on the order in which events were added, as events that came
# late may be of none.

use strict;
use warnings;

use List::Util qw(max min sum0 uniq);
use POSIX qw(ceil mktime tzset);


sub new {
    my ($class, $zone) = @_;

    return bless { zone => $zone, events => [] }, $class;
}


sub add {
    my ($self, @events) = @_;

    push @{ $self->{events} }, @events;
    delete @$self{qw(sorted sessions came)};
}


# Does something by the clock of the time zone.

sub local_clock {
    my ($self, $do) = @_;

    local $ENV{TZ} = $self->{zone};
    tzset();

    my @result = $do->();

    delete local $ENV{TZ};
    tzset();

    return wantarray ? @result : $result[0];
}


# The first second of a day, from a date.

sub midnight {
    my ($self, $year, $month, $day) = @_;

    return $self->local_clock(sub {
        return mktime(0, 0, 0, $day, $month - 1, $year - 1900, 0, 0, -1);
    });
}


# Where buckets begin that follow each other, and where the last one ends.

sub buckets {
    my ($self, $interval, $from, $to) = @_;

    my @at = ($from);

    while ($at[-1] < $to) {
        push @at, $interval eq 'minute' ? $at[-1] + 60
            : $interval eq 'hour' ? $at[-1] + 3600
            : $self->local_clock(sub {
                my @t = localtime $at[-1];

                $interval eq 'month' ? ($t[4]++, $t[3] = 1)
                    : ($t[3] += $interval eq 'week' ? 7 : 1);

                return mktime(0, 0, 0, @t[3 .. 5], 0, 0, -1);
            });
    }

    return @at;
}


# The events of a metric between two instants, in seconds.

sub chosen {
    my ($self, $metric, $from, $to) = @_;

    my $sorted = $self->{sorted} //=
        [ sort { $a->{time} <=> $b->{time} } @{ $self->{events} } ];

    # the first that is not before

    my ($low, $high) = (0, scalar @$sorted);

    while ($low < $high) {
        my $middle = int(($low + $high) / 2);

        $sorted->[$middle]{time} < $from * 1_000_000 ? ($low = $middle + 1)
            : ($high = $middle);
    }

    my @chosen;

    for (; $low < @$sorted && $sorted->[$low]{time} < $to * 1_000_000; $low++) {
        my $event = $sorted->[$low];

        next if $metric->{types}
            && !grep { $_ eq $event->{type} } @{ $metric->{types} };
        next if $metric->{where} && !$metric->{where}->($event);
        next if defined $metric->{group}
            && ($metric->{by}->($event) // '') ne $metric->{group};

        push @chosen, $event;
    }

    return @chosen;
}


# undef of nothing, where there is no answer to that.

sub value {
    my ($self, $metric, $from, $to) = @_;

    my $kind = $metric->{kind};

    return $self->users($kind, $from, $to) if $kind =~ /^(?:new_)?users$/;
    return $self->sessions($kind, $from, $to) if $kind =~ /^session/;

    return figure($metric, $self->chosen($metric, $from, $to));
}


# The same of buckets that follow each other: of all of them, and of each.

sub series {
    my ($self, $metric, @at) = @_;

    return map { $self->value($metric, @$_) } [ @at[0, -1] ],
        map { [ @at[$_ - 1, $_] ] } 1 .. $#at
        if $metric->{kind} =~ /users$|^session/;

    my @events = $self->chosen($metric, @at[0, -1]);
    my @values = figure($metric, @events);
    my $first  = 0;

    for my $end (map { $_ * 1_000_000 } @at[1 .. $#at]) {
        my $last = $first;

        $last++ while $last < @events && $events[$last]{time} < $end;

        push @values, figure($metric, @events[$first .. $last - 1]);
        $first = $last;
    }

    return @values;
}


# What some events are.

sub figure {
    my ($metric, @events) = @_;

    my $kind = $metric->{kind};

    return scalar uniq map {
        $metric->{field} ? $metric->{field}->($_) : $_->{user}
    } @events if $kind eq 'unique';

    return scalar @events if $kind eq 'count' && !$metric->{field};

    my @values = grep { defined } map { $metric->{field}->($_) } @events;

    return scalar @values if $kind eq 'count';
    return sum0 @values if $kind eq 'sum';
    return undef unless @values;
    return sum0(@values) / @values if $kind eq 'avg';
    return min @values if $kind eq 'min';
    return max @values if $kind eq 'max';

    my ($percent) = $kind =~ /^p(.+)$/ or die "no kind: $kind\n";

    @values = sort { $a <=> $b } @values;

    # in thousandths: not to be off by what a double cannot hold

    my $rank = ceil(sprintf('%.6f', @values * $percent * 10) / 1000);

    return $values[ max($rank, 1) - 1 ];
}


# Who came for the first time, or who had come until then.

sub users {
    my ($self, $kind, $from, $to) = @_;

    my $came = $self->{came} //= do {
        my %first;

        for (@{ $self->{events} }) {
            my $first = \$first{ $_->{user} };

            $$first = $_->{time} if !defined $$first || $_->{time} < $$first;
        }

        [ map { $_ / 1_000_000 } values %first ];
    };

    return scalar grep {
        $_ < $to && ($kind eq 'users' || $_ >= $from)
    } @$came;
}


# How many sessions began, and how long they took on average.

sub sessions {
    my ($self, $kind, $from, $to) = @_;

    my $sessions = $self->{sessions} //= $self->all_sessions(1800);

    my @began = grep {
        $_->[0] >= $from * 1_000_000 && $_->[0] < $to * 1_000_000
    } @$sessions;

    return scalar @began if $kind eq 'sessions';
    return undef unless @began;
    return sum0(map { ($_->[1] - $_->[0]) / 1_000_000 } @began) / @began;
}


# How many events are of no session.

sub late {
    my ($self) = @_;

    my $late = 0;

    $self->all_sessions(1800, \$late);

    return $late;
}


# [ FIRST, LAST ] of each.  Of a user, those that are [0] and [1] of the list
# can still change; older ones are done.

sub all_sessions {
    my ($self, $silence, $late) = @_;

    my (%open, %closed, @done);

    $silence *= 1_000_000;

    my $near = sub { $_[0][0] - $_[1] < $silence && $_[1] - $_[0][1] < $silence };

    for my $event (@{ $self->{events} }) {
        my ($user, $time) = @$event{qw(user time)};
        my $open = $open{$user} //= [];

        if (my ($of) = grep { $near->($_, $time) } @$open) {
            $of->[0] = min $of->[0], $time;
            $of->[1] = max $of->[1], $time;

            @$open = ([ $open->[1][0], $open->[0][1] ])
                if @$open == 2 && $open->[0][0] - $open->[1][1] < $silence;

            next;
        }

        # before all that can still change, where there is no place for it

        if (@$open && $time < $open->[-1][0]
            && (@$open == 2 || $closed{$user}))
        {
            $$late++ if $late;
            next;
        }

        @$open = sort { $b->[0] <=> $a->[0] } @$open, [ $time, $time ];

        if (@$open > 2) {
            push @done, pop @$open;
            $closed{$user} = 1;
        }
    }

    return [ @done, map { @$_ } values %open ];
}


1;
