module weir.test/cluster

go 1.22
