package Analytics::Fault;

# Copyright (C) The nginx analytics authors

# Stops a process of an nginx under test at a chosen point, by its name in
# the sources (ngx_analytics_fault_stop), so that it can be killed just there.
#
#     my $fault = Analytics::Fault->new("$dir/fault");
#     my $nginx = Analytics::Torture->new($fault->environment);
#
#     my $pid = $fault->stop($nginx, 'merge', 'publish.renamed');
#
# It needs the module with fault points.

use strict;
use warnings;

use Analytics::Test;

my $MODULE = $ENV{ANALYTICS_FAULTY} || Analytics::Test::root_dir()
    . '/build/faulty/ngx_http_analytics_module.so';


sub available {
    return -f $MODULE && !$ENV{ANALYTICS_PRELOAD};
}


sub new {
    my ($class, $dir) = @_;

    # workers may be someone else

    mkdir $dir or die "$dir: $!\n";
    chmod 0777, $dir;

    return bless { dir => $dir }, $class;
}


# What Analytics::Test->set() needs.

sub environment {
    my ($self) = @_;

    return (module => $MODULE, main => 'env ANALYTICS_FAULT;',
        env => { ANALYTICS_FAULT => $self->{dir} });
}


# Has the next worker that comes to a point stop there.

sub arm {
    my ($self, $point) = @_;

    Analytics::Test::write_file("$self->{dir}/$point", '');
}


# Has threads that come to a point (ngx_analytics_fault_wait) wait there, until
# they are let go; the rest of their process goes on.

sub hold {
    my ($self, $point) = @_;

    $self->arm($point);
}


sub held {
    my ($self, $point) = @_;

    return wait_for(sub { -e "$self->{dir}/$point.held" });
}


sub let_go {
    my ($self, $point) = @_;

    unlink "$self->{dir}/$point";

    return wait_for(sub { !-e "$self->{dir}/$point.held" });
}


# Waits until one has.  Returns its process.

sub stopped {
    my ($self, $nginx, $point) = @_;

    my $pid;

    wait_for(sub {
        return 0 if -e "$self->{dir}/$point";

        ($pid) = grep {
            Analytics::Test::read_file("/proc/$_/stat") =~ /\) T /
        } $nginx->workers;

        return $pid;
    });

    unlink "$self->{dir}/$point";

    return $pid;
}


# Waits until a worker stops at the first point, has it go on to the second
# one, and so forth.  Returns the process that has stopped at the last one.

sub stop {
    my ($self, $nginx, @points) = @_;

    $self->arm($points[0]);

    return $self->stops($nginx, @points);
}


# The same; the first point was armed before, since somebody else was to come
# to it only then.

sub stops {
    my ($self, $nginx, $first, @points) = @_;

    my $pid = $self->stopped($nginx, $first) or return undef;

    for my $point (@points) {
        $self->arm($point);

        kill 'CONT', $pid;

        $pid = $self->stopped($nginx, $point) or return undef;
    }

    return $pid;
}


1;
