package Analytics::Finder;

# Copyright (C) The nginx analytics authors

# What is asked of single events, answered in the plainest way from a list of
# those that were posted: sorted lists of all, of each user and of each type,
# in which the ends of a range are looked for by halving.
#
#     my $finder = Analytics::Finder->new;
#
#     $finder->add($id, $user, $type, $time, $received, $properties);
#
#     my ($found, $more) = $finder->find(user => 'ann', from => $usec,
#         order => 'desc', skip => 10, limit => 100);
#
#     print $finder->row($_, 'event') for @$found;
#
# Events are added by rising ids; names and properties are bytes, times
# microseconds since the epoch.  Those of a user who was erased, undef, are
# never found.  What is found are places in that list.

use strict;
use warnings;

use POSIX qw(floor strftime);


sub new {
    my ($class) = @_;

    return bless {
        id => [], user => [], type => [], time => [], received => [],
        properties => [], lists => {}, rows => {},
    }, $class;
}


sub add {
    my ($self, $id, $user, $type, $time, $received, $properties) = @_;

    my $ids = $self->{id};

    die "$id comes behind $ids->[-1]\n" if @$ids && $id <= $ids->[-1];

    push @$ids, $id;
    push @{ $self->{user} }, $user;
    push @{ $self->{type} }, $type;
    push @{ $self->{time} }, $time;
    push @{ $self->{received} }, $received;
    push @{ $self->{properties} }, $properties;

    $self->{lists} = {};
}


sub count { return scalar @{ $_[0]{id} } }


# Lists of places, in the order of time or of receipt and then of id: of all,
# and by user and by type.

sub _lists {
    my ($self, $by) = @_;

    return $self->{lists}{$by} //= do {
        my $key = $self->{$by};
        my @all = sort { $key->[$a] <=> $key->[$b] || $a <=> $b }
            grep { defined $self->{user}[$_] } 0 .. $#$key;
        my (%user, %type);

        for my $i (@all) {
            push @{ $user{ $self->{user}[$i] } }, $i;
            push @{ $type{ $self->{type}[$i] } }, $i;
        }

        { all => \@all, user => \%user, type => \%type };
    };
}


# What can be asked, all of it optional:
#     user, type
#     from, to       [from, to), of what the order is by
#     by             time or received
#     order          asc or desc
#     after          [time, id]: what comes behind it in the order
#     skip, limit
#
# Returns places, and whether there would be more without the limit.

sub find {
    my ($self, %q) = @_;

    my $by   = $q{by} // 'time';
    my $desc = ($q{order} // 'asc') eq 'desc';
    my $list = $self->_list($by, @q{qw(user type)});
    my $key  = $self->{$by};
    my ($low, $high) = (0, scalar @$list);

    $low = _first($list, sub { $key->[$_[0]] >= $q{from} })
        if defined $q{from};
    $high = _first($list, sub { $key->[$_[0]] >= $q{to} })
        if defined $q{to};

    if ($q{after}) {
        my ($time, $id) = @{ $q{after} };
        my $ids = $self->{id};

        # receipt is in the order of ids, and that is all that tells there

        my $cmp = $by eq 'received'
            ? sub { $ids->[$_[0]] <=> $id }
            : sub { $key->[$_[0]] <=> $time || $ids->[$_[0]] <=> $id };

        my $at = _first($list, sub { $cmp->($_[0]) >= ($desc ? 0 : 1) });

        $high = $at if $desc && $at < $high;
        $low  = $at if !$desc && $at > $low;
    }

    my $skip  = $q{skip} // 0;
    my $there = $high - $low - $skip;

    return ([], 0) if $there <= 0;

    my $n = defined $q{limit} && $q{limit} < $there ? $q{limit} : $there;

    my @found = $desc
        ? reverse @$list[$high - $skip - $n .. $high - $skip - 1]
        : @$list[$low + $skip .. $low + $skip + $n - 1];

    return (\@found, $n < $there);
}


sub _list {
    my ($self, $by, $user, $type) = @_;

    my $lists = $self->_lists($by);

    return $lists->{all} unless defined $user || defined $type;
    return $lists->{type}{$type} // [] unless defined $user;

    my $list = $lists->{user}{$user} // [];

    return $list unless defined $type;

    return $lists->{both}{$user}{$type}
        //= [grep { $self->{type}[$_] eq $type } @$list];
}


# The first one in the list for which something holds, as for all behind it.

sub _first {
    my ($list, $holds) = @_;

    my ($low, $high) = (0, scalar @$list);

    while ($low < $high) {
        my $middle = ($low + $high) >> 1;

        if ($holds->($list->[$middle])) {
            $high = $middle;
        } else {
            $low = $middle + 1;
        }
    }

    return $low;
}


# An event's text in an answer, by the name of a format.

sub row {
    my ($self, $i, $format) = @_;

    return $self->{rows}{$format}[$i] //= do {
        my @event = map { $_->[$i] }
            @$self{qw(id user type time properties)};

        $format eq 'event' ? event(@event) : activity(@event);
    };
}


# As the formats "event" and "activity" of these tests write it.

sub event {
    my ($id, $user, $type, $time, $properties) = @_;

    return '{"id":' . $id . ',"user_id":' . string($user)
        . ',"event_type":' . string($type)
        . ',"timestamp":"' . instant($time) . '","metadata":'
        . (length $properties ? $properties : '{}') . '}';
}


sub activity {
    my ($id, $user, $type, $time, $properties) = @_;

    return '{"user_id":' . (is_integer($user) ? $user : string($user))
        . ',"action":' . string($type)
        . ',"event_action_timestamp":"' . instant($time) . '","metadata":'
        . (length $properties ? $properties : '{}') . '}';
}


# Within 2^53, and written in one way only.

sub is_integer {
    my ($text) = @_;

    return $text =~ /\A(?:0|-?[1-9][0-9]{0,15})\z/
        && abs $text <= 9007199254740992;
}


# Without what would be of meaning in a page of HTML.

sub string {
    my ($text) = @_;

    $text =~ s/([\\"])/\\$1/g;
    $text =~ s/([\x00-\x1f&<>])/sprintf '\u%04x', ord $1/ge;

    return qq("$text");
}


# RFC 3339, with as many of 0, 3 or 6 digits as it needs.

sub instant {
    my ($usec) = @_;

    my $sec  = floor($usec / 1_000_000);
    my $rest = $usec - $sec * 1_000_000;

    return strftime('%Y-%m-%dT%H:%M:%S', gmtime $sec)
        . ($rest == 0 ? '' : $rest % 1000 == 0
            ? sprintf('.%03d', $rest / 1000) : sprintf '.%06d', $rest) . 'Z';
}


1;
