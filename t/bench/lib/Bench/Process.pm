package Bench::Process;

# Copyright (C) The nginx analytics authors

# Processes that the bench starts, each on the processors it is given, and
# what they cost.  All of them end with it, however it ends.

use strict;
use warnings;

use Exporter qw(import);
use File::Temp ();
use IO::Handle;
use IO::Socket::INET;
use POSIX qw(:sys_wait_h sysconf _SC_CLK_TCK);
use Time::HiRes qw(sleep time);

our @EXPORT = qw(say_progress cpus work_dir start_process run_process
    end_process alive cpu_seconds own_seconds busy_seconds
    waited_seconds children_of read_file write_file
    flush_file free_port wait_until);

my $OWNER = $$;
my $TICKS = sysconf(_SC_CLK_TCK) || 100;

# Servers and load go before what else the machine does, if we may say so.
our $NICE = -10;

# Numbers of system calls that Perl has no function for; undef if unknown.
our ($PRCTL, $SENDFILE, $FDATASYNC) = eval {
    no warnings;
    require 'sys/syscall.ph';
    (SYS_prctl(), SYS_sendfile(), SYS_fdatasync());
};

use constant { PR_SET_PDEATHSIG => 1, SIGTERM => 15 };

my (%RUNNING, $DIR);

$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 130 };
$SIG{PIPE} = 'IGNORE';


sub say_progress {
    print STDERR "bench: @_\n";
}


# The processors that we may use.

sub cpus {
    my ($list) = read_file('/proc/self/status')
        =~ /^Cpus_allowed_list:\s*(\S+)/m;

    return map { /(\d+)-(\d+)/ ? ($1 .. $2) : $_ } split /,/, $list // '0';
}


# A folder for everything, which goes with us.

sub work_dir {
    if (!$DIR) {
        $DIR = File::Temp->newdir('bench-analytics-XXXXXXXX', TMPDIR => 1);

        # nginx's workers are someone else when it is started by root
        chmod 0755, $DIR;
    }

    return "$DIR";
}


sub read_file {
    my ($path) = @_;

    open my $fh, '<:raw', $path or return '';
    local $/;

    return scalar <$fh> // '';
}


sub write_file {
    my ($path, @text) = @_;

    open my $fh, '>:raw', $path or die "$path: $!\n";
    print {$fh} @text;
    close $fh or die "$path: $!\n";
}


# To the disk, if not the time of its last change.

sub flush_file {
    my ($fh) = @_;

    return $FDATASYNC ? syscall($FDATASYNC, fileno $fh) == 0 : $fh->sync;
}


# Options: cpus, a list; out, the file that takes what it says; env.
# The command may be a function: a part of our own in a process of its own.

sub start_process {
    my ($command, %arg) = @_;

    my $pid = fork // die "fork: $!\n";

    if ($pid) {
        $RUNNING{$pid} = 1;
        return $pid;
    }

    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);

    # should we be killed ourselves
    syscall $PRCTL, PR_SET_PDEATHSIG, SIGTERM if $PRCTL;

    @ENV{ keys %{ $arg{env} } } = values %{ $arg{env} } if $arg{env};

    open STDIN, '<', '/dev/null';
    open STDOUT, '>', $arg{out} // '/dev/null';
    open STDERR, '>>&', \*STDOUT;

    if ($arg{cpus}) {
        go_first();

        # this process, and what it becomes
        system "taskset -pc @{[ join ',', @{ $arg{cpus} } ]} $$ > /dev/null";
    }

    if (ref $command eq 'CODE') {
        eval { $command->(); STDOUT->flush; 1 } or print $@;
        POSIX::_exit($@ ? 1 : 0);
    }

    { no warnings "exec"; exec @$command; }
    POSIX::_exit(127);
}


# Where Linux groups processes by session, it is the session's priority that
# counts; and so this is one.

sub go_first {
    POSIX::setsid();
    POSIX::nice($NICE);

    if (open my $fh, '>', '/proc/self/autogroup') {
        print {$fh} $NICE;
    }
}


# Runs to the end and returns what was said.

sub run_process {
    my ($command, %arg) = @_;

    my $out = work_dir() . '/said';
    my $pid = start_process($command, %arg, out => $out);

    waitpid $pid, 0;
    delete $RUNNING{$pid};

    my $said = read_file($out);

    die "@{[ ref $command eq 'ARRAY' ? $command->[0] : 'process' ]} failed:\n"
        . "$said\n" if $? && !$arg{may_fail};

    return $said;
}


sub end_process {
    my ($pid, $signal) = @_;

    delete $RUNNING{$pid} or return;

    my $since = time;
    kill $signal // 'TERM', $pid;

    until (waitpid($pid, WNOHANG)) {
        kill 'KILL', $pid if time - $since > 10;
        sleep 0.01;
    }
}


# What waits to be reaped is not.

sub alive {
    my ($pid) = @_;

    return read_file("/proc/$pid/stat") =~ /\) [^ZX] /;
}


# Seconds on a processor, user's and system's, of whole processes.

sub cpu_seconds {
    my $ticks = 0;

    for my $pid (@_) {
        my ($rest) = read_file("/proc/$pid/stat") =~ /\) (.*)/ or next;
        my @field = split ' ', $rest;

        $ticks += $field[11] + $field[12];
    }

    return $ticks / $TICKS;
}


# The same of ourselves and of what we started and that has ended.

sub own_seconds {
    my $seconds = 0;

    $seconds += $_ for times;

    return $seconds;
}


# The same of all processes together, on some processors.

sub busy_seconds {
    my $ticks = 0;
    my $stat  = read_file('/proc/stat');

    for my $cpu (@_) {
        my ($user, $nice, $system) = $stat =~ /^cpu$cpu (\d+) (\d+) (\d+)/m
            or next;

        $ticks += $user + $nice + $system;
    }

    return $ticks / $TICKS;
}


# Seconds that their first threads wanted a processor which others had; their
# own other threads are none of these.

sub waited_seconds {
    my $seconds = 0;

    for my $pid (@_) {
        my ($ran, $waited) = map { ($_ // 0) / 1e9 }
            (split ' ', read_file("/proc/$pid/schedstat"))[0, 1];

        $seconds += $waited - (cpu_seconds($pid) - $ran);
    }

    return $seconds;
}


sub children_of {
    my ($parent) = @_;

    return sort { $a <=> $b }
        grep { read_file("/proc/$_/stat") =~ /\) \S $parent / }
        map { m{(\d+)$} } glob '/proc/[0-9]*';
}


# A port that was free a moment ago.

sub free_port {
    my $socket = IO::Socket::INET->new(
        Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0
    ) or die "no free port: $@\n";

    return $socket->sockport;
}


sub wait_until {
    my ($what, $seconds) = @_;

    my $until = time + ($seconds // 20);

    while (time < $until) {
        my $rc = $what->();
        return $rc if $rc;
        sleep 0.02;
    }

    return 0;
}


END {
    if ($$ == $OWNER) {
        my $rc = $?;
        end_process($_) for keys %RUNNING;
        undef $DIR;
        $? = $rc;
    }
}


1;
