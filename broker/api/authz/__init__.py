"""What resource servers and reverse proxies ask: may the holder of these credentials do this?"""
