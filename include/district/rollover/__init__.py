"""The turn of the school year: next year's extracts rehearsed, what is missing told, the year turned."""
