# Copyright (C) The nginx analytics authors

# A folder belongs to one zone of one nginx: others are refused, and told why.
# Nobody else can read it, and testing a configuration changes nothing.

use strict;
use warnings;

use Test::More;

use Analytics::Test;
use Analytics::Torture;

my $nginx = Analytics::Torture->new(log => 'segment 64k;');
my $data  = $nginx->data;
my $EVENT = '{"user_id":"a","event_type":"b"}';


# What nginx -t says of a configuration that cannot be.

sub refused {
    my ($nginx, $like, $name) = @_;

    my ($passed, $said) = $nginx->check;

    ok !$passed, $name;
    like $said, $like, 'it says why';
}


sub with_two {
    my ($path, $other) = @_;

    return Analytics::Torture->new(path => $path, http =>
        "analytics_zone other 4m { path $other; }");
}


subtest 'testing a configuration' => sub {
    my ($passed, $said) = $nginx->check;

    ok $passed, 'it is right' or diag $said;
    ok !-e $data, 'no folder is made';

    $nginx->start;
    $nginx->post('/events/', $EVENT);
    ok wait_for(sub { glob "$data/*.log" }), 'there is a log';

    my $files = sub {
        return join "\n", map { join ' ', $_, (stat)[2, 4, 5, 7, 9],
            /control/ ? () : Analytics::Test::read_file($_) }
            $data, sort glob "$data/*";
    };
    my $before = $files->();

    ($passed, $said) = $nginx->check;

    ok $passed, 'it is right while it serves' or diag $said;
    is $files->(), $before, 'nothing is made or changed';
};


subtest 'who can read it' => sub {
    my ($user) = map { (stat "/proc/$_")[4] } $nginx->workers;

    is sprintf('%04o', (stat $data)[2] & 07777), '0700', 'the folder is 0700';
    is +(stat $data)[4], $user, "it is of the workers' user";

    for my $file (glob "$data/*") {
        my @stat = stat $file;

        is sprintf('%04o', $stat[2] & 07777), '0600', "$file is 0600";
        is $stat[4], $user, "of the workers' user";
    }
};


subtest 'another nginx' => sub {
    my $other = Analytics::Torture->new(path => $data, wait => 0);

    ok !eval { $other->start }, 'does not start';
    like $other->error_log . $other->stderr_log,
        qr/\[emerg\].*\Q$data\E.*used by another nginx.*\b$nginx->{pid}\b/,
        'it says whose the folder is';

    is $nginx->post('/events/', $EVENT)->json->{id}, 2, 'the first one goes on';

    # through another name

    my $link = $other->dir . '/link';

    symlink $data, $link or die "symlink: $!\n";
    $other->configure(path => $link);
    ok !eval { $other->start }, 'nor by another name';

    $nginx->kill_at_once;

    $other->expect_log(qr/\[emerg\].*used by another nginx/);
    $other->configure(path => $data, wait => 1);
    ok eval { $other->start }, 'when the first one is dead it does' or diag $@;
    is $other->json('/stats/total')->{total_events}, 2, 'with what there is';
    $other->stop;

    $nginx->restart;
    is $nginx->json('/stats/total')->{total_events}, 2, 'and back';
    $nginx->stop;
};


# Each in a namespace of its own, as in a container: all masters have the
# number 1, and are told apart nevertheless.

subtest 'another container' => sub {
    plan skip_all => 'there are no namespaces'
        if system('unshare -pf --mount-proc true 2> /dev/null') != 0;

    my @contained = map { Analytics::Torture->new(path => $data, wait => 0,
        workers => 1) } 1 .. 2;

    # returns the process that holds it, as it is called here

    my $run = sub {
        my ($nginx) = @_;

        $nginx->{port} = Analytics::Torture::choose_port();
        $nginx->configure;

        return $nginx->spawn('unshare', '-pf', '--mount-proc',
            '--kill-child', $nginx->command);
    };

    my ($one, $other) = @contained;
    my $pid = $run->($one);

    ok $one->ready, 'a container serves';
    is Analytics::Test::read_file($one->dir . '/nginx.pid'), "1\n",
        'its master is number 1';

    waitpid $run->($other), 0;
    isnt $?, 0, 'another one does not start';
    like $other->error_log . $other->stderr_log,
        qr/\[emerg\] 1#.*used by another nginx.* 1 of another container/,
        'it says why';
    is $one->post('/events/', $EVENT)->{status}, 201, 'the first one goes on';

    # nginx, by its number here: who holds it ends when it does

    my ($master) = grep { $one->processes->{$_} =~ /^nginx: master/ }
        keys %{ $one->processes };

    kill 'TERM', $master;
    waitpid $pid, 0;
    is $?, 0, 'it ends';

    $pid = $run->($other);
    ok $other->ready, 'then the other one serves';
    kill 'TERM', grep { $other->processes->{$_} =~ /^nginx: master/ }
        keys %{ $other->processes };
    waitpid $pid, 0;
    ok !%{ $_->processes }, 'nothing is left' for @contained;
};


subtest 'two zones' => sub {
    my $two = with_two('%DIR%/data', '%DIR%/data');

    refused($two, qr/zone "other".*zone "site"|zone "site".*zone "other"/,
        'on one folder');

    mkdir $two->dir . '/data';
    symlink $two->dir . '/data', $two->dir . '/link';
    refused(with_two($two->dir . '/data', $two->dir . '/link'),
        qr/zone "other".*zone "site"/, 'by another name');

    my $both = with_two('%DIR%/data', '%DIR%/second');

    ok eval { $both->start }, 'on two folders' or diag $@;
    ok $both->ready('other'), 'both are ready';
    ok -e $both->dir . "/$_/control", "$_ is used" for 'data', 'second';
    $both->stop;
};


subtest 'folders that cannot be' => sub {
    my $none = Analytics::Torture->new(path => '%DIR%/no/data');

    refused($none, qr/no\/data.*parent/, 'its parent is not made');
    ok !-e $none->dir . '/no', 'nor is it';

    my $file = Analytics::Torture->new;

    Analytics::Test::write_file($file->data, '');
    refused($file, qr/not a directory/, 'a file');

    plan_nobody() or return;

    my $taken = Analytics::Torture->new;

    mkdir $taken->data, 0700;
    chown +(getpwnam 'nobody')[2, 3], $taken->data;
    refused($taken, qr/belongs to/, "somebody else's");
    is +(stat $taken->data)[4], (getpwnam 'nobody')[2], 'it stays so';
};


sub plan_nobody {
    return $> == 0 && defined getpwnam 'nobody';
}


done_testing;
