module weir-test-client

go 1.19
