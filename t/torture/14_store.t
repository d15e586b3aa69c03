# Copyright (C) The nginx analytics authors

# The store equals the log, whoever dies: processes are killed at each point of
# filling, merging and forgetting, and the files, which are read by another
# program, the log and the answers are compared each time.

use strict;
use warnings;

use Fcntl qw(:flock);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Fault;
use Analytics::Parts;
use Analytics::Test;
use Analytics::Torture;

# What is mounted in a namespace of our own is gone when we are.

if ($> == 0 && !$ENV{ANALYTICS_NAMESPACE}
    && system('unshare -m true 2>/dev/null') == 0)
{
    $ENV{ANALYTICS_NAMESPACE} = 1;
    exec 'unshare', '-m', $^X, (map { "-I$_" } @INC), $0
        or die "unshare: $!\n";
}

plan skip_all => 'no module with fault points'
    unless Analytics::Fault::available();

# its parts are this small

my $LEAST = 512;

my @SIZES = ([1, 60, 120, 0], [1, 1, 1, 0]);
my $kills = 0;


sub faulty {
    my (%arg) = @_;

    my $nginx = Analytics::Torture->new(zone => '32m', %arg, log =>
        'store on; sync 100ms; segment 64k; checkpoint size=256k time=1s;'
        . ($arg{log} // ''));
    my $fault = Analytics::Fault->new($nginx->dir . '/fault');

    $nginx->set($fault->environment)->start;

    return ($nginx, $fault);
}


# Kills a process where it has stopped, alone or with all others.  Then the
# files are looked at as they are left.

sub killed {
    my ($nginx, $fault, $all, @points) = @_;

    my $name = "killed at @points" . ($all ? ', all at once' : '');
    my $pid  = $fault->stop($nginx, @points) or return fail "$name: never";

    $kills++;

    if ($all) {
        $nginx->kill_at_once;
        files_agree($nginx->data, $name);
        $nginx->restart;
        export_agrees($nginx, $name);

    } else {
        kill 'KILL', $pid;
        ok wait_for(sub { !grep { $_ == $pid } $nginx->workers }), $name;
    }
}


sub last_id {
    my ($lines) = @_;

    return ($lines->[-1] // '') =~ /^\{"id":(\d+),/ ? $1 : 0;
}


# Whether a checkpoint is of all that is in the log.

sub checkpointed {
    my ($health) = @_;

    return $health->{checkpoint_bytes} eq $health->{log_bytes};
}


subtest 'killed at each point of filling and merging' => sub {
    my ($nginx, $fault) = faulty();
    my $sender = $nginx->sender(clients => 2, pause => 0.1,
        sizes => \@SIZES)->start;

    my @points = qw(part.created part.rows publish.written publish.synced
        publish.renamed publish.done);
    my @rounds = map { ([fill => $_], [merge => $_]) } @points;
    my $n = 0;

    # every other one of either kind dies with all others

    for my $round (@rounds, ['fill'], ['merge'], ['clean']) {
        my $all = ++$n % 4 < 2;

        killed($nginx, $fault, $all, @$round);
        killed($nginx, $fault, !$all, @$round) if long();
    }

    $sender->stop;
    ok caught_up($nginx, $LEAST), 'the store catches up';
    export_agrees($nginx, 'afterwards');
    $nginx->settle('the accounts', $sender);

    $nginx->kill_at_once;
    cmp_ok files_agree($nginx->data, 'at last'), '>', 1, 'there is a store';
    $nginx->restart;
    $nginx->stop;
};


subtest 'killed while it forgets' => sub {
    my ($nginx, $fault) = faulty(retain => 'totals=all events=200k');
    my $sender = $nginx->sender(clients => 2, pause => 0.1,
        sizes => \@SIZES)->start;
    my $n = 0;

    for my $round (['drop'], ['dropped'], ['trim'], [trim => 'trim']) {
        my $all = ++$n % 4 < 2;

        killed($nginx, $fault, $all, @$round);
        killed($nginx, $fault, !$all, @$round) if long();
    }

    $sender->stop;
    ok caught_up($nginx, $LEAST), 'the store catches up';
    $nginx->kill_at_once->restart;
    ok caught_up($nginx, $LEAST), 'and after a restart';
    export_agrees($nginx, 'afterwards');

    my $total = $nginx->json('/stats/total')->{total_events};

    # while nginx runs, files may go that are being read

    $nginx->kill_at_once;

    my $log = log_lines($nginx->data);

    is $total, last_id($log), 'all are counted';
    cmp_ok @$log, '<', last_id($log), 'some were forgotten';

    files_agree($nginx->data, 'at last');
    $nginx->restart;
    $nginx->stop;
};


# At any moment; some rounds may meet nothing.

sub at_random {
    my ($rounds, $nginx, %sender) = @_;

    my $sender = $nginx->sender(clients => 2, sizes => \@SIZES, %sender)
        ->start;

    for my $round (1 .. $rounds) {
        sleep 0.1 + rand 0.7;

        $kills++;

        if ($round % 2) {
            my @workers = $nginx->workers;

            kill 'KILL', $workers[rand @workers] if @workers;
            next;
        }

        $nginx->kill_at_once;
        files_agree($nginx->data, "round $round");
        $nginx->restart;
    }

    # however slow all this was

    ok wait_for(sub { scalar(() = part_files($nginx->data)) }),
        'there is a part';

    $sender->stop;
    ok caught_up($nginx), 'the store catches up';
    export_agrees($nginx, 'afterwards');
    $nginx->settle('the accounts', $sender);
    $nginx->kill_at_once;
    ok files_agree($nginx->data, 'at last'), 'there is a store';
    $nginx->restart;
    $nginx->stop;
}


subtest 'killed at any moment' => sub {
    my ($nginx) = faulty();

    at_random(long() ? 50 : 4, $nginx, pause => 0.1);
};


subtest 'killed at any moment, with parts as large as they are' => sub {
    plan skip_all => 'it takes minutes' unless long();

    at_random(50, Analytics::Torture->new(zone => '32m',
        log => 'store on; checkpoint size=1m time=1s;')->start,
        sizes => [[1, 500, 1000, 0]], pause => 0.2);
};


# From here on nobody is killed.

# A page that is too long for one turn of the thread is looked for twice.  What
# comes in between is not in it, though its time is, and it is in a part then.

subtest 'a page is what it was when it was asked for' => sub {
    my ($nginx, $fault) = faulty(listen => '');
    my $pad = 'x' x 300;
    my $list = sub {
        return '[' . join(',', map { sprintf '{"user_id":"u","event_type":"t",'
            . '"timestamp":"2020-01-01T%02d:%02d:00Z",'
            . '"metadata":{"pad":"%s"}}', $_ / 60, $_ % 60, $pad } @_) . ']';
    };

    $nginx->post('/events/', $list->(1 .. 1200))->{status} == 201 or die;

    # who is stopped is to have no lock

    ok wait_for(sub {
        my $health = $nginx->health;

        return $health->{store}{behind_events} == 0 && checkpointed($health);
    }), 'nothing is being done';

    my $lease = lease($nginx);
    my $before = $nginx->get('/events/?limit=1000');
    my $file = $nginx->dir . '/answer';

    $fault->arm('stream.ahead');

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        my $answer = $nginx->get('/events/?limit=1000');

        Analytics::Test::write_file($file,
            $answer->header('Link') . $answer->{body});
        POSIX::_exit(0);
    }

    my $stopped = $fault->stops($nginx, 'stream.ahead');
    my $parts = $nginx->health->{store}{parts};

    ok $stopped, 'it is looked for';

    # the one who asks has it open, too

    flock $lease, LOCK_UN;
    $nginx->post('/events/', $list->((900) x 600))->{status} == 201 or die;
    ok wait_for(sub { $nginx->health->{store}{parts} > $parts }),
        'others come in, and are in a part';

    kill 'CONT', $stopped if $stopped;
    waitpid $pid, 0;

    is Analytics::Test::read_file($file),
        $before->header('Link') . $before->{body}, 'the page is as it was';
    isnt $nginx->get('/events/?limit=1000')->{body}, $before->{body},
        'one that is asked for now has what came since';

    $nginx->stop;
};


my $posted = 0;

sub post {
    my ($nginx, $lists) = @_;

    for (1 .. $lists) {
        my $list = join ',', map { $posted++; sprintf '{"user_id":"u%d",'
            . '"event_type":"t%d","metadata":{"n":%d}}', $posted % 97,
            $posted % 7, $posted } 1 .. 600;

        $nginx->post('/events/', "[$list]")->{status} == 201 or die;
    }
}


# Adds some parts, until there are two at least, and nothing is done with them
# any more.  Returns the second one.

sub filled {
    my ($nginx, $lists) = @_;

    my @parts;

    while ($lists-- > 0 || @parts < 2) {
        post($nginx, 1);
        caught_up($nginx, $LEAST) or die "the store does not catch up\n";
        close lease($nginx);
        @parts = part_files($nginx->data);
    }

    return $nginx->data . "/$parts[1][0]";
}


# That of who works on the store, when it is to be had.

sub lease {
    my ($nginx) = @_;

    open my $lease, '+<', $nginx->data . '/lock.store' or die;
    flock $lease, LOCK_EX or die;

    return $lease;
}


my %DAMAGE = (
    'removed'       => sub { unlink $_[0] },
    'cut short'     => sub { truncate $_[0], $_[1] / 3 },
    'cut to a page' => sub { truncate $_[0], 8192 },
    'emptied'       => sub { truncate $_[0], 0 },
    'not SQLite'    => sub { overwrite($_[0], 0, 'x' x $_[1]) },
    'another file'  => sub {
        Analytics::Test::write_file("$_[0].new", 'nothing');
        rename "$_[0].new", $_[0];
    },
    'another part' => sub {
        my ($dir) = $_[0] =~ m{(.*)/};

        system('cp', '-p', "$dir/" . (part_files($dir))[0][0], "$_[0].new");
        rename "$_[0].new", $_[0];
    },
    'without its header' => sub { overwrite($_[0], 0, "\xff" x 100) },
    'with pages of zeros' => sub {
        overwrite($_[0], 8192, "\0" x ($_[1] - 8192));
    },
    'with noise in it' => sub {
        overwrite($_[0], 8192 * int($_[1] / 32768), join '',
            map { chr rand 256 } 1 .. $_[1] / 2);
    },
);


subtest 'a part that is damaged under nginx' => sub {
    my ($nginx) = faulty(workers => 1);

    $nginx->expect_log(qr/a part of an analytics store was put aside/);

    # in the short form every other one

    my $turn = int rand 2;

    for my $what (grep { long() || $turn++ % 2 } sort keys %DAMAGE) {
        my $file = filled($nginx, 1);

        # who answers has it open

        export_agrees($nginx, "$what: before") or last;

        my ($worker) = $nginx->workers;
        my $log = length $nginx->error_log;

        $DAMAGE{$what}->($file, -s $file);
        export_agrees($nginx, "$what: then") or last;

        is_deeply [$nginx->workers], [$worker], 'by the same process';
        like substr($nginx->error_log, $log),
            qr/\[error\].*put aside.*\Q$file\E/,
            'the error log names it' if $what ne 'removed';

        filled($nginx, 1);
        ok wait_for(sub { !-e "$file.bad" }), 'it was made again';
        export_agrees($nginx, "$what: afterwards") or last;
    }

    $nginx->kill_at_once;
    files_agree($nginx->data, 'at last');
    $nginx->restart;
    $nginx->stop;
};


# SQLite has no checksums: what a bit was in a text it cannot tell.

subtest 'bits of a part are wrong' => sub {
    my ($nginx) = faulty(workers => 1);

    $nginx->expect_log(qr/a part of an analytics store was put aside/);

    my $file = filled($nginx, 4);
    my ($worker) = $nginx->workers;
    my ($wrong, $noticed, $exact) = (0, 0, 0);

    for (1 .. (long() ? 500 : 12)) {
        my $at = int rand -s $file;
        my $byte = substr Analytics::Test::read_file($file), $at, 1;

        overwrite($file, $at, chr(ord($byte) ^ 1 << int rand 8));

        my $answer = $nginx->get('/events/export');
        my $user = $nginx->get('/events/?user_id=u5&limit=1000');

        $wrong++ if $answer->{status} != 200 || $user->{status} != 200;
        $exact++ if same($nginx, $answer);

        if (-e "$file.bad") {
            $noticed++;
            rename "$file.bad", $file;
        }

        overwrite($file, $at, $byte);
    }

    is $wrong, 0, 'there is an answer each time';
    is_deeply [$nginx->workers], [$worker], 'of the same process';
    note "$noticed were noticed, $exact changed no answer";

    export_agrees($nginx, 'when they are right again');
    $nginx->stop;
};


sub same {
    my ($nginx, $answer) = @_;

    return "@{ export_lines($answer->{body}) }" eq join ' ',
        map { Analytics::Parts::exported($_) } @{ log_lines($nginx->data) };
}


subtest 'a part is damaged, and the log does not reach back so far' => sub {
    my ($nginx) = faulty(workers => 1);

    $nginx->expect_log(qr/a part of an analytics store was put aside/);

    filled($nginx, 6);

    my $all = @{ log_lines($nginx->data) };
    my @segments = sort glob $nginx->data . '/*.log';

    # a checkpoint within it would be of no use when it is gone

    ok wait_for(sub { checkpointed($nginx->health) }), 'a checkpoint of all';
    unlink $segments[0];

    my $left = @{ log_lines($nginx->data) };

    cmp_ok $left, '<', $all, 'the log has lost its beginning';
    truncate $nginx->data . '/' . (part_files($nginx->data))[0][0], 9000;

    for my $when ('at once', 'later') {
        my $answer = $nginx->get('/events/export');

        is $answer->{status}, 200, "$when: there is an answer";
        like $answer->header('X-Analytics-Exact') // '', qr/^false/,
            'it says that it is not all';
        cmp_ok scalar(@{ export_lines($answer->{body}) }), '<', $all,
            'it is not';

        $all += 600;
        filled_behind($nginx);
    }

    cmp_ok $nginx->health->{store}{missing_bytes}, '>', 0,
        'health says so, too';
    $nginx->stop;
};


sub filled_behind {
    my ($nginx) = @_;

    my $parts = () = part_files($nginx->data);

    post($nginx, 1);
    wait_for(sub { (() = part_files($nginx->data)) > $parts })
        or die "the store is not filled\n";
}


subtest 'files that others have locked' => sub {
    my ($nginx) = faulty(workers => 1);
    my @held;

    filled($nginx, 6);

    for my $part (part_files($nginx->data)) {
        my $file = $nginx->data . "/$part->[0]";

        open my $fh, '+<', $file or die;
        flock $fh, LOCK_EX | LOCK_NB or die;

        open my $sqlite, '|-', 'sqlite3', $file or die;
        syswrite $sqlite, "BEGIN EXCLUSIVE;\n.shell touch $file.held\n";
        wait_for(sub { unlink "$file.held" }) or die "not locked\n";

        push @held, $fh, $sqlite;
    }

    export_agrees($nginx, 'locked');

    my $before = () = part_files($nginx->data);

    filled($nginx, 3);
    cmp_ok scalar(() = part_files($nginx->data)), '<', $before,
        'they are merged';
    export_agrees($nginx, 'and merged');

    close $_ for @held;
    $nginx->kill_at_once;
    files_agree($nginx->data, 'at last');
    $nginx->restart;
    $nginx->stop;
};


subtest 'a disk that is full for the store' => sub {
    my $nginx = Analytics::Torture->new(zone => '8m', workers => 1,
        log => 'store on; sync 100ms; segment 64k;');
    my $fault = Analytics::Fault->new($nginx->dir . '/fault');
    my $data  = $nginx->data;

    $nginx->set($fault->environment)
        ->expect_log(qr/the store was not filled/, qr/a checkpoint|failed/);
    mkdir $data;

    plan skip_all => 'nothing can be mounted'
        unless $ENV{ANALYTICS_NAMESPACE} && system('mount', '-t', 'tmpfs',
            '-o', 'size=8m,mode=0700', 'none', $data) == 0;

    eval {
        $nginx->start;
        filled($nginx, 2);

        # nothing is filled until there is no room

        my $lease = lease($nginx);

        post($nginx, 10);

        open my $ballast, '>', "$data/ballast" or die;
        1 while defined syswrite $ballast, 'x' x 65536;
        truncate $ballast, (-s $ballast) - 200_000 or die;
        close $_ for $ballast, $lease;

        ok wait_for(sub { $nginx->error_log =~ /store was not filled/ }),
            'the error log says that the store cannot be filled';

        # unless the next try takes the last of it just now

        ok wait_for(sub { eval { post($nginx, 1); 1 } }), 'events are taken';
        export_agrees($nginx, 'and there at once');

        unlink "$data/ballast" or die;
        ok caught_up($nginx, $LEAST), 'there is room: the store catches up';
        export_agrees($nginx, 'afterwards');

        $nginx->kill_at_once;
        files_agree($data, 'at last');
        $nginx->restart;
        $nginx->stop;
        1;
    } or fail $@;

    $nginx->kill_all;
    system('umount', '-l', $data);
};


note "$kills kills";
done_testing;
