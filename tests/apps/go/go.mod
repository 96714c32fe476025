module weir-test-app

go 1.19
