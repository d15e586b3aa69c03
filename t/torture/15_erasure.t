# Copyright (C) The nginx analytics authors

# Who is erased is erased, whoever dies meanwhile: processes are killed at each
# point of it, and when it is over no file says anything of the user, and all
# other events are there exactly.

use strict;
use warnings;

use JSON::PP ();
use POSIX ();
use Test::More;

use Analytics::Fault;
use Analytics::Parts;
use Analytics::Test;
use Analytics::Torture;

plan skip_all => 'no module with fault points'
    unless Analytics::Fault::available();

my $nginx = Analytics::Torture->new(zone => '32m', locations =>
    'location /users/ { analytics_erase site; }', log =>
    'store on; counts 1s; sync 100ms; segment 64k;'
        . ' checkpoint size=256k time=1s;');
my $fault = Analytics::Fault->new($nginx->dir . '/fault');

$nginx->set($fault->environment)->expect_log(qr/users could not be erased yet/);
$nginx->start;

my $dir    = $nginx->data;
my $sender = $nginx->sender(clients => 2, pause => 0.3,
    sizes => [[1, 30, 80, 0], [1, 1, 1, 0]])->start;

my ($kills, $victims) = (0, 0);


sub secret { return 'secret' . join '', map { int rand 10 } 1 .. 12 }


# Posts events of the one who is to be erased among those of others.  It may
# meet a process that dies.

sub post {
    my ($user, $secret) = @_;

    my $list = JSON::PP->new->canonical->encode([map { {
        user_id => $_ % 3 ? $user : "other$_", event_type => 'by hand',
        metadata => { of => $_ % 3 ? $secret : "other$_" },
    } } 1 .. 60]);

    return wait_for(sub {
        my $answer = eval { $nginx->post('/events/', $list) };
        return $answer && $answer->{status} == 201;
    });
}


sub files_with {
    my (@texts) = @_;

    my @found;

    opendir my $dh, $dir or die "$dir: $!\n";

    for my $name (readdir $dh) {
        my $bytes = Analytics::Test::read_file("$dir/$name");

        push @found, $name if grep { index($bytes, $_) >= 0 } @texts;
    }

    return sort @found;
}


sub parts_know {
    my ($user) = @_;

    return wait_for(sub { grep { /^\d+-\d+\.db$/ } files_with($user) });
}


# Of others, as the log has them, by id: not of a user, nor of nobody.

sub others {
    my ($user) = @_;

    return { map { /^\{"id":(\d+),"user":(null|"\Q$user\E")/
        ? () : /^\{"id":(\d+),/ ? ($1 => $_) : () } @{ log_lines($dir) } };
}


# Erases somebody, with a process killed at some point, or points, of it.

sub erased {
    my ($all, @points) = @_;

    my $name = "killed at @points" . ($all ? ', all at once' : '');
    my $user = 'victim' . ++$victims . '-' . secret();
    my $secret = secret();

    ok post($user, $secret), "$name: there is somebody";
    ok parts_know($user), 'whom the store knows';
    ok post($user, $secret), 'and the log, some more';

    my $before = others($user);

    # somebody asks for it once; there may be no answer

    $fault->arm($points[0]);

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        eval { $nginx->request(DELETE => "/users/$user") };
        POSIX::_exit(0);
    }

    my $stopped = $fault->stops($nginx, @points);

    ok $stopped, 'it stops there' or note "@points";

    $kills++;

    if ($all) {
        $nginx->kill_at_once->restart;
    } else {
        kill 'KILL', $stopped if $stopped;
    }

    waitpid $pid, 0;

    # it was written down first of all: others finish it

    my $answer;

    ok wait_for(sub {
        $answer = eval { $nginx->get("/events/?user_id=$user&limit=1000") };
        return $answer && $answer->{status} == 200;
    }), 'others are served';
    is $answer && $answer->{body}, '[]', 'nobody is shown the user';

    ok wait_for(sub {
        my $health = eval { $nginx->health };
        return $health && ($health->{erasing} // '') eq '0';
    }), 'it comes to its end';

    is_deeply [files_with($user, $secret)], [], 'no file says anything';

    my $now = log_lines($dir);
    my %now = map { /^\{"id":(\d+),/ => $_ } @$now;
    my @lost = grep { ($now{$_} // '') ne $before->{$_} } keys %$before;

    is scalar @lost, 0, 'all events of others are there';

    export_agrees($nginx, $name);
}


ok $nginx->more(500), 'there is a load';

my @ROUNDS = (['erasing.renamed'], ['erase.item'],
    ['erase.item', 'erasing.renamed'], ['erase.begin'],
    ['erase.checkpoints'],
    ['erase.begin', 'erase.written'], ['erase.begin', 'erase.synced'],
    ['erase.begin', 'erase.renamed'], ['erase.part'],
    ['erase.part', 'part.created'], ['erase.part', 'part.rows'],
    ['erase.part', 'publish.synced'], ['erase.part', 'publish.renamed'],
    ['erase.parts'], ['erase.parts', 'publish.renamed'], ['erase.periods'],
    ['erase.periods', 'erase.renamed'],
    ['erase.asked'], ['erase.asked', 'erasing.renamed']);

my $n = 0;

for my $round (@ROUNDS) {
    my $all = ++$n % 2;

    subtest "killed at @$round" => sub {
        erased($all, @$round);
        erased(!$all, @$round) if long();
    };
}


$sender->stop;
ok caught_up($nginx, 512), 'the store catches up';
$nginx->kill_at_once;
cmp_ok files_agree($dir, 'at last'), '>', 0, 'there is a store';
$nginx->restart;
$nginx->settle('the accounts', $sender,
    { others => sub { $_[0]{type} eq 'by hand' } });
$nginx->stop;

note "$kills kills";
done_testing;
