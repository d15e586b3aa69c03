package Analytics::Oracle;

# Copyright (C) The nginx analytics authors

# The same figures, computed in the plainest way from a list of events, each
# { user => text, or undef, type => text, time => seconds since the epoch }.

use strict;
use warnings;

use POSIX qw(strftime floor);


sub new {
    my ($class, @events) = @_;

    my $self = bless {
        total => scalar @events, users => {}, types => {}, of_user => {},
        hours => {}, days => {}, hour_of_day => {}, seconds => {},
        first => {}, last => {},
    }, $class;

    $self->add($_) for @events;

    return $self;
}


sub add {
    my ($self, $event) = @_;

    my ($user, $type, $time) = @$event{qw(user type time)};

    $self->{types}{$type}++;
    $self->{seconds}{ floor($time) }++;
    $self->{hours}{ floor($time / 3600) }++;
    $self->{days}{ floor($time / 86400) }++;
    $self->{hour_of_day}{ floor($time / 3600) % 24 }++;

    # of one who was erased
    return unless defined $user;

    $self->{users}{$user}++;
    $self->{of_user}{$user}{$type}++;

    $self->{first}{$user} = $time
        if !defined $self->{first}{$user} || $time < $self->{first}{$user};
    $self->{last}{$user} = $time
        if !defined $self->{last}{$user} || $time > $self->{last}{$user};
}


sub total {
    my ($self) = @_;

    return {
        total_events       => $self->{total},
        unique_users       => scalar keys %{ $self->{users} },
        unique_event_types => scalar keys %{ $self->{types} },
    };
}


# Names with their counts, by count descending, then by name in bytes (the
# order of code points is that of UTF-8's bytes).

sub ranking {
    my ($counts, $member, $limit) = @_;

    my @names = sort { $counts->{$b} <=> $counts->{$a} || $a cmp $b }
        keys %$counts;

    splice @names, $limit if defined $limit && $limit < @names;

    return [ map { { $member => $_, count => $counts->{$_} } } @names ];
}


sub by_type {
    my ($self) = @_;

    return ranking($self->{types}, 'event_type');
}


sub by_user {
    my ($self, $limit) = @_;

    return ranking($self->{users}, 'user_id', $limit);
}


sub user {
    my ($self, $user) = @_;

    return {
        user_id        => $user,
        total_events   => $self->{users}{$user},
        events_by_type => ranking($self->{of_user}{$user}, 'event_type'),
        first_event_at => instant($self->{first}{$user}),
        last_event_at  => instant($self->{last}{$user}),
    };
}


# Days or hours from the first to the last, both included.

sub over_time {
    my ($self, $unit, $first, $last) = @_;

    return [ map { { date => date($_), count => $self->{days}{$_} // 0 } }
        $first .. $last ] if $unit eq 'day';

    return [ map { { date => instant($_ * 3600),
        count => $self->{hours}{$_} // 0 } } $first .. $last ];
}


sub summary {
    my ($self) = @_;

    my @users  = sort keys %{ $self->{users} };
    my $window = _peak($self->{hours});

    return {
        message            => 'Usage summary generated successfully',
        total_events       => $self->{total},
        total_unique_users => scalar @users,
        unique_users       => \@users,
        action_wise_counts => { %{ $self->{types} } },
        most_active_user   => _most($self->{users}),
        peak_activity_time => _valued(_peak($self->{seconds}), \&instant),
        peak_activity_hour => _valued(_peak($self->{hour_of_day}),
            sub { $_[0] + 0 }),
        peak_activity_window => $window && {
            start => instant($window->[0] * 3600),
            end   => instant(($window->[0] + 1) * 3600),
            count => $window->[1],
        },
    };
}


# What GET tells: no busiest second, and the 100 most active users by name.

sub summary_of_all {
    my ($self) = @_;

    my $summary = $self->summary;

    delete $summary->{peak_activity_time};

    $summary->{unique_users} = [ sort map { $_->{user_id} }
        @{ $self->by_user(100) } ];

    return $summary;
}


# The largest count's number, the smallest of equals.

sub _peak {
    my ($counts) = @_;

    my ($peak) = sort { $counts->{$b} <=> $counts->{$a} || $a <=> $b }
        keys %$counts;

    return defined $peak ? [ $peak, $counts->{$peak} ] : undef;
}


sub _most {
    my ($counts) = @_;

    my ($most) = @{ ranking($counts, 'value', 1) };

    return $most;
}


sub _valued {
    my ($peak, $format) = @_;

    return $peak && { value => $format->($peak->[0]), count => $peak->[1] };
}


sub instant {
    my ($time) = @_;

    return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $time);
}


sub date {
    my ($day) = @_;

    return strftime('%Y-%m-%d', gmtime $day * 86400);
}


# Events drawn by a generator of our own, so that a seed says them all.

sub random_events {
    my ($seed, $n, $users, $types, $from, $span) = @_;

    my $state = $seed;
    my $draw  = sub {
        $state = ($state * 1103515245 + 12345) % 2147483648;
        return int(($state / 2147483648) * $_[0]);
    };

    # the square favours small numbers: some users are far busier

    return map {
        my $user = $draw->($users);

        {
            user => 'user ' . int($user * $user / $users),
            type => 'type_' . $draw->($types),
            time => $from + $draw->($span),
        }
    } 1 .. $n;
}


1;
