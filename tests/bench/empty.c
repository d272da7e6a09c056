/* The floor of hook-bench: a program that does nothing, built as the hook is. */
int main(void)
{
    return 0;
}
