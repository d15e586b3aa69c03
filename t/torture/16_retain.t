# Copyright (C) The nginx analytics authors

# "retain events=TIME" is how long an event is on the disk, and an eighth of
# that longer at most: also of a site where little is recorded, and of one where
# nothing is any more.  What was counted stays.

use strict;
use warnings;

use Test::More;

use Analytics::Fault;
use Analytics::Test;
use Analytics::Torture;

my $CLOCK = Analytics::Test::root_dir() . '/build/preload/clock.so';
my $DAY   = 86_400;

# its looks are more frequent

plan skip_all => 'no module with fault points'
    unless Analytics::Fault::available();
plan skip_all => 'there is no preload/clock.so' unless -f $CLOCK;

my $nginx = Analytics::Torture->new(
    zone => '16m', retain => 'totals=2y events=16d', preload => $CLOCK,
    log => 'store on; counts 4h; sync 100ms; checkpoint time=1s;',
);

my $dir   = $nginx->data;
my $clock = $nginx->dir . '/clock';
my $fault = Analytics::Fault->new($nginx->dir . '/fault');
my %env   = $fault->environment;

$env{env}{ANALYTICS_CLOCK} = $clock;

my $mark = 'mark' . join '', map { int rand 10 } 1 .. 12;
my ($ahead, $posted) = (0, 0);


sub later {
    my ($days) = @_;

    $ahead += $days * $DAY;

    open my $file, -f $clock ? '+<' : '>', $clock or die "$clock: $!\n";
    syswrite $file, pack 'q', $ahead;
    close $file;
    chmod 0644, $clock;
}


sub post {
    my (@users) = @_;

    my $list = join ',', map { $posted++; qq({"user_id":"$_","event_type":"a",)
        . qq("metadata":{"of":"$_"}}) } @users;

    $nginx->post('/events/', "[$list]")->{status} == 201 or die "refused\n";
}


# What there is of single events.

sub files_with {
    my ($text) = @_;

    return grep {
        index(Analytics::Test::read_file($_), $text) >= 0
    } grep { !/period-/ } glob "$dir/*.log $dir/*.db $dir/*.tmp $dir/*.bad";
}


sub total { return $nginx->json('/stats/total')->{total_events} }

sub behind { return $nginx->health->{store}{behind_events} }


later(0);
$nginx->set(%env)->start;


subtest 'where nothing is recorded any more' => sub {
    my $user = "$mark idle";

    post($user, $user, 'another');
    cmp_ok scalar files_with($user), '>', 0, 'it is there';

    later(1.1);
    ok wait_for(sub { behind() == 0 }), 'a few are in a part, after a while';

    later(14);
    is scalar @{ $nginx->json("/events/?user_id=$mark%20idle") }, 2,
        'they are there';

    later(1);
    is scalar @{ $nginx->json("/events/?user_id=$mark%20idle") }, 0,
        'when they are too old nobody is shown them';

    later(1.9);
    ok wait_for(sub { !files_with($user) }),
        'and a little later they are in no file';

    is total(), $posted, 'they count';

    $nginx->kill_at_once->restart;
    is total(), $posted, 'after a crash, too';

    post($user);
    is scalar @{ $nginx->json("/events/?user_id=$mark%20idle") }, 1,
        'what comes then is there';
};


subtest 'where little is recorded' => sub {
    my @days;

    for (1 .. 14) {
        later(2);
        push @days, [$ahead, "$mark day $_."];
        post(("$mark day $_.") x 3);
        ok wait_for(sub { behind() <= 3 }), 'what is older is in parts';
    }

    my @old = map { $_->[1] } grep { $_->[0] <= $ahead - 18 * $DAY } @days;
    my @new = map { $_->[1] } grep { $_->[0] > $ahead - 16 * $DAY } @days;

    cmp_ok scalar @old, '>', 2, 'some are too old';

    ok wait_for(sub { !grep { files_with($_) } @old }), 'no file has them';
    is scalar(grep { !files_with($_) } @new), 0, 'it has all others';

    my $answer = $nginx->get('/events/?limit=1000');

    is scalar @{ $answer->json }, 3 * @new, 'which are shown';
    is $answer->header('X-Analytics-Exact'), undef, 'exactly';
    is total(), $posted, 'all count';
};


$nginx->stop;
done_testing;
